"""Existing executions under a run's id: whether a node may reuse them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.config import load_config
from pipeline.records.node_ids import EXAMPLE_GEN, STATISTICS_GEN
from pipeline.records.root import Root
from pipeline.running.graph import compile_graph, create_pipeline
from pipeline.running.node_runner import NodeRunner
from tests.e2e import planted

pytestmark = pytest.mark.tensorflow

RUN_ID = "0b6d7a52-5a7b-4c0e-9a43-2f1f6f0c9b11"


class Run:
    """A run that completed the statistics."""

    def __init__(self, folder: Path) -> None:
        planted.write_pipeline(folder)
        root = Root(folder / "root")
        root.path.mkdir()
        self.connection = metadata.sqlite_metadata_connection_config(str(root.metadata))
        graph = compile_graph(create_pipeline(load_config(folder / "pipeline.yaml"), root), RUN_ID)
        self.nodes = {entry.pipeline_node.node_info.id: entry.pipeline_node for entry in graph.nodes}
        self.runner = NodeRunner(graph, metadata.Metadata(self.connection))
        for node_id in (EXAMPLE_GEN, STATISTICS_GEN):
            assert self.disagreement(node_id, is_resumed=False) is None
            assert self.runner.run(self.nodes[node_id]).state == "executed"

    def disagreement(self, node_id: str, is_resumed: bool) -> str | None:
        return self.runner.disagreement(self.nodes[node_id], is_resumed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("run"))


def test_finished_execution_of_submission_is_reused(run: Run) -> None:
    assert run.disagreement(EXAMPLE_GEN, is_resumed=True) is None
    assert run.disagreement(STATISTICS_GEN, is_resumed=True) is None


def test_foreign_execution_is_refused(run: Run) -> None:
    found = run.disagreement(STATISTICS_GEN, is_resumed=False)
    assert found is not None
    assert found.endswith("of StatisticsGen, which this run did not start")


def test_execution_with_other_inputs_is_refused(run: Run) -> None:
    with metadata.Metadata(run.connection) as handle:
        store: Any = handle.store
        execution = max(store.get_executions(), key=lambda execution: execution.id)
        events = store.get_events_by_execution_ids([execution.id])
        (output,) = (e.artifact_id for e in events if e.type == metadata_store_pb2.Event.OUTPUT)
        event = metadata_store_pb2.Event(
            artifact_id=output, execution_id=execution.id, type=metadata_store_pb2.Event.INPUT
        )
        store.put_events([event])
    found = run.disagreement(STATISTICS_GEN, is_resumed=True)
    assert found is not None
    assert found.endswith("of StatisticsGen is finished, but had other inputs")
