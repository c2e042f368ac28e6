"""Records of tasks, merged into the record of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.kubeflow.node_records import NodeRecord, NodeRecords, findings, merge
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord

NODES = ("A", "B", "C")


def empty() -> RunRecord:
    return RunRecord(pipeline="films", run_id="r", config={}, versions={}, started="2026-01-01T00:00:00+00:00")


def record(node_id: str, state: Any = "executed", began: float = 0.0, **found: Any) -> NodeRecord:
    return NodeRecord(node_id, "s", state, began, 1.5, found=found)


@given(found=st.dictionaries(st.sampled_from(["rows", "splits"]), st.integers()), metric=st.floats(0, 9))
def test_merge_restores_findings(found: dict[str, int], metric: float) -> None:
    before, after = empty(), empty()
    after.data.update(found)
    after.metrics, after.status, after.published = {"rmse": metric}, "published", "serving/1"
    node = NodeRecord("A", "s", "executed", 1.0, 2.0, found=findings(before, after))
    merged = merge(before, {"A": node}, NODES)
    ours, theirs = dataclasses.asdict(merged), dataclasses.asdict(after)
    assert {k: v for k, v in ours.items() if k not in ("components", "started")} == {
        k: v for k, v in theirs.items() if k not in ("components", "started")
    }


def test_nodes_are_merged_in_graph_order() -> None:
    nodes = {
        "C": record("C", status="published", published="serving/1"),
        "A": record("A", began=5.0, data={"rows": 3}),
        "B": record("B", began=9.0, data={"checks": []}),
    }
    merged = merge(empty(), nodes, NODES)
    assert [component["id"] for component in merged.components] == ["A", "B", "C"]
    assert merged.data == {"rows": 3, "checks": []}
    assert (merged.status, merged.started) == ("published", "1970-01-01T00:00:00+00:00")


def test_failed_node_is_last_and_running_is_omitted() -> None:
    nodes = {"A": record("A", "failed", error="no"), "B": record("B"), "C": record("C", "running")}
    merged = merge(empty(), nodes, NODES)
    assert [(c["id"], c["state"], c["seconds"]) for c in merged.components] == [
        ("B", "executed", 1.5),
        ("A", "failed", 1.5),
    ]
    assert merged.error == "no"


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    records = NodeRecords(RunFolder(tmp_path))
    assert records.read() == {}
    first = NodeRecord("A", "s", "running", 1.0)
    ended = dataclasses.replace(first, state="failed", found={"error": "é"}, is_final=True)
    records.write(first)
    records.write(ended)
    assert records.read() == {"A": ended}


def test_half_written_record_is_not_read(tmp_path: Path) -> None:
    records = NodeRecords(RunFolder(tmp_path))
    records.write(record("A"))
    (tmp_path / "tasks" / ".B.staged").write_text('{"id": "B", "sta')
    assert list(records.read()) == ["A"]
