"""Settings of all tests: reproducible examples, and no messages from TensorFlow's C++ code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.unit.trainer.planted_model import Planted

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# In a process that used gRPC, children write its messages to their own stderr.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# The same examples on every machine. No deadline, because the first call of many functions imports a library.
hypothesis.settings.register_profile("kindred", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("kindred")


def pytest_configure(config: pytest.Config) -> None:
    # Protobuf attributes a warning about TFX to the caller of TFX, which is pipeline.running.graph.
    config.addinivalue_line("filterwarnings", r"ignore:label\(\) is deprecated:DeprecationWarning")


_FLOORS = ("unit", "integration", "reliability", "e2e", "image")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts tests: plain Python, then TensorFlow, then components, then faults, then runs, then Flink."""

    def rank(item: pytest.Item) -> tuple[int, bool, bool]:
        floor = item.path.relative_to(item.config.rootpath / "tests").parts[0]
        marked = (item.get_closest_marker(name) is not None for name in ("flink", "tensorflow"))
        return _FLOORS.index(floor), *marked

    items.sort(key=rank)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A small model of known numbers, published through the real preprocessing and export."""
    from tests.unit.trainer import planted_model

    return planted_model.publish(tmp_path_factory.mktemp("planted"), approximate=True)
