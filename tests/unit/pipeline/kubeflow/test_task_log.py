"""Records in task logs can be read back, whatever else the log contains."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kubeflow.task_log import PREFIX, STATES, NodeEnded, RunEnded, node_line, read, run_line

printable = st.text(st.characters(blacklist_categories=("Cc", "Cs")) | st.just("\n"), max_size=40)
seconds = st.floats(0, 1e9).map(lambda value: round(value, 3))
nodes = st.builds(
    NodeEnded, node_id=printable.filter(bool), state=st.sampled_from(STATES), seconds=seconds, detail=printable
)
runs = st.builds(
    RunEnded,
    run_id=printable,
    status=printable,
    error=st.none() | printable.filter(bool),
    components=st.lists(nodes, max_size=3).map(
        lambda ended: tuple(NodeEnded(node.node_id, node.state, node.seconds) for node in ended)
    ),
    published=st.none() | printable.filter(bool),
    root=printable,
    report=printable,
)
keys = st.sampled_from(["node", "run", "id", "state", "seconds", "detail", "run_id", "status", "components"])
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
)
junk = st.text(max_size=60).filter(lambda text: PREFIX not in text)


def line(record: NodeEnded | RunEnded) -> str:
    if isinstance(record, NodeEnded):
        return node_line(record.node_id, record.state, record.seconds, record.detail)
    return run_line(
        record.run_id,
        record.status,
        error=record.error,
        components=record.components,
        published=record.published,
        root=record.root,
        report=record.report,
    )


@given(st.lists(st.tuples(junk, nodes | runs, junk), max_size=4))
def test_records_are_read_back_from_between_junk(parts: list[tuple[str, NodeEnded | RunEnded, str]]) -> None:
    log = "\n".join(f"{before}{line(record)}{after}" for before, record, after in parts)
    assert read(log) == [record for _, record, _ in parts]


@given(nodes | runs, nodes | runs, st.data())
def test_truncated_line_hides_no_record(
    first: NodeEnded | RunEnded, second: NodeEnded | RunEnded, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(line(first)) - 1))
    for glue in ("\n", ""):
        assert read(line(first)[:cut] + glue + line(second)) == [second]


@given(st.text())
def test_any_text_is_readable(text: str) -> None:
    assert read(text) == []
    read(PREFIX + text)


@given(values)
def test_any_json_is_readable(value: object) -> None:
    for record in read(PREFIX + json.dumps(value)):
        assert isinstance(record, NodeEnded | RunEnded)


@given(nodes | runs)
def test_record_is_one_ascii_line(record: NodeEnded | RunEnded) -> None:
    assert line(record).isascii() and len(line(record).splitlines()) == 1


def test_retried_task_repeats_record() -> None:
    again = node_line("Trainer", "failed", 1.5) + "\n" + node_line("Trainer", "executed", 2.0)
    assert [record.state for record in read(again) if isinstance(record, NodeEnded)] == ["failed", "executed"]


@pytest.mark.parametrize(
    "content",
    [
        '{"node": {"id": "A", "state": "running", "seconds": 1}}',
        '{"node": {"id": "", "state": "cached", "seconds": 1}}',
        '{"node": {"id": "A", "state": "cached", "seconds": NaN}}',
        '{"node": {"id": "A", "state": "cached", "seconds": -1}}',
        '{"node": {"id": "A", "state": "cached", "seconds": 1' + "0" * 400 + "}}",
        '{"node": {"id": ["A"], "state": "cached", "seconds": 1}}',
        '{"run": {"run_id": "1", "status": null}}',
        '{"run": {"run_id": "1", "status": "failed", "components": [{"id": "A"}]}}',
        '{"other": {}}',
        "[" * 100_000,
        "3",
    ],
)
def test_malformed_records_are_skipped(content: str) -> None:
    assert read(f"{PREFIX}{content}\n{node_line('B', 'cached', 0.0)}") == [NodeEnded("B", "cached", 0.0)]


def test_terminal_commands_are_removed() -> None:
    (record,) = read(node_line("A", "failed", 0.0, "red \x1b[31m \x9b1m \ud800 end\nline"))
    assert record == NodeEnded("A", "failed", 0.0, "red  [31m  1m   end\nline")


def test_nan_seconds_are_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        node_line("A", "failed", math.nan)
