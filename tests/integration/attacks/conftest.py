"""One server for all attacks, with a limit on its memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.attacks.victim import ENTITIES, MIB, Victim
from tests.integration.model_server import running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.tensorflow)
            if sys.platform != "linux":
                item.add_marker(pytest.mark.skip(reason="reads /proc"))


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server of the models `half` (x / 2 + 3), `types`, `examples` and `ranking`."""
    from tests.integration.model_server import saved_models

    folder = tmp_path_factory.mktemp("models")
    saved_models.write_half(folder / "half" / "1", 3.0)
    saved_models.write_types(folder / "types" / "1")
    saved_models.write_examples(folder / "examples" / "1")
    saved_models.write_ranking(folder / "ranking" / "1", ENTITIES)
    names = ("half", "types", "examples", "ranking")
    config, monitoring = folder / "models.config", folder / "monitoring.config"
    entries = (f'config {{ name: "{name}" base_path: "{folder / name}" }}' for name in names)
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    monitoring.write_text("prometheus_config { enable: true }")
    flags = [f"--model_config_file={config}", f"--monitoring_config_file={monitoring}"]
    flags.append(f"--max_bytes_in_flight={256 * MIB}")
    with running.process(running.OURS, *flags) as (client, process):
        for name in names:
            client.wait(name, 1, "AVAILABLE")
        victim = Victim(client, process.pid)
        with ThreadPoolExecutor(16) as pool:  # starts the threads of the pools
            list(pool.map(lambda _: victim.check_answers(), range(32)))
        victim.limit_memory()
        yield victim
        assert process.poll() is None, "the server runs at the end"
