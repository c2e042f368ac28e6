"""One server with several models, shared by the tests that only send requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.model_server import running

if TYPE_CHECKING:
    from serving.model_server.servable import Servable
    from tests.unit.trainer.planted_model import Planted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.tensorflow)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models `half` (versions 1 and 2, offsets 2 and 3), `types`, `examples`."""
    from tests.integration.model_server import saved_models

    folder = tmp_path_factory.mktemp("models")
    saved_models.write_half(folder / "half" / "1", 2.0)
    saved_models.write_half(folder / "half" / "2", 3.0)
    saved_models.write_types(folder / "types" / "7")
    saved_models.write_examples(folder / "examples" / "1")
    return folder


@pytest.fixture(scope="module")
def servable(planted: Planted) -> Iterator[Servable]:
    """The planted model of words, loaded without a server."""
    from serving.model_server.servable import Servable, SessionSettings

    servable = Servable("words", 1, str(planted.model), SessionSettings(timeout_ms=30_000))
    yield servable
    servable.close()


@pytest.fixture(scope="session", params=running.BINARIES, ids=lambda path: Path(path).name)
def client(request: pytest.FixtureRequest, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Returns a client of the shared server."""
    folder = tmp_path_factory.mktemp("config")
    half = 'model_version_policy { all {} } version_labels { key: "stable" value: 1 } ' + (
        'version_labels { key: "canary" value: 2 }'
    )
    entries = [f'config {{ name: "{name}" base_path: "{model_folder / name}" model_platform: "tensorflow" {extra} }}'
               for name, extra in (("half", half), ("types", ""), ("examples", ""))]  # fmt: skip
    config, monitoring = folder / "models.config", folder / "monitoring.config"
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    monitoring.write_text("prometheus_config { enable: true }")
    flags = [f"--model_config_file={config}", f"--monitoring_config_file={monitoring}"]
    flags += ["--allow_version_labels_for_unavailable_models=true"]
    with running.process(request.param, *flags) as (client, _):
        for model, version in (("half", 1), ("half", 2), ("types", 7), ("examples", 1)):
            client.wait(model, version, "AVAILABLE")
        yield client
