"""Files that changed after a node wrote them are not used: the node runs again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tfx.orchestration import metadata

from pipeline.config import load_config
from pipeline.records.node_ids import EXAMPLE_GEN, STATISTICS_GEN
from pipeline.records.root import Root
from pipeline.running.graph import compile_graph, create_pipeline
from pipeline.running.node_runner import NodeResult, NodeRunner
from tests.e2e import planted

pytestmark = pytest.mark.tensorflow


class _Pipeline:
    """Runs the first two nodes, each time in a new run."""

    def __init__(self, folder: Path) -> None:
        self._file = planted.write_pipeline(folder)
        self._root = Root(folder / "root")
        self._root.path.mkdir()
        self._runs = 0

    def run(self) -> dict[str, NodeResult]:
        self._runs += 1
        graph = compile_graph(create_pipeline(load_config(self._file), self._root), f"run-{self._runs}")
        handle = metadata.Metadata(metadata.sqlite_metadata_connection_config(str(self._root.metadata)))
        runner = NodeRunner(graph, handle)
        nodes = {entry.pipeline_node.node_info.id: entry.pipeline_node for entry in graph.nodes}
        return {node_id: runner.run(nodes[node_id]) for node_id in (EXAMPLE_GEN, STATISTICS_GEN)}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> _Pipeline:
    pipeline = _Pipeline(tmp_path_factory.mktemp("damage"))
    pipeline.run()
    return pipeline


def states(results: dict[str, NodeResult]) -> list[str]:
    return [result.state for result in results.values()]


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _add(file: Path) -> None:
    file.with_name("other").touch()


@pytest.mark.parametrize("harm", [_flip, Path.unlink, _add, lambda file: shutil.rmtree(file.parents[1])])
def test_damaged_examples_are_made_again(pipeline: _Pipeline, harm: Callable[[Path], object]) -> None:
    before = pipeline.run()
    assert states(before) == ["cached", "cached"]
    assert before[EXAMPLE_GEN].damaged == ()
    old = Path(before[EXAMPLE_GEN].uri("examples"))
    harm(next(iter(sorted(old.glob("Split-train/*")))))
    after = pipeline.run()
    assert states(after) == ["executed", "executed"], "the statistics are those of the new examples"
    assert [str(old) in path for path in after[EXAMPLE_GEN].damaged] == [True]
    assert after[EXAMPLE_GEN].uri("examples") != str(old)
    assert states(pipeline.run()) == ["cached", "cached"], "damage is repaired once"


def test_only_the_damaged_node_is_judged(pipeline: _Pipeline) -> None:
    before = pipeline.run()
    _flip(next(iter(Path(before[STATISTICS_GEN].uri("statistics")).rglob("FeatureStats.pb"))))
    after = pipeline.run()
    assert states(after) == ["cached", "executed"]
    assert len(after[STATISTICS_GEN].damaged) == 1
    assert "FeatureStats.pb" in after[STATISTICS_GEN].damaged[0]
