"""`kindred run --span A..B` runs each span that is not published yet, in order."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from components.pair_example_gen.source import split_path
from components.pair_example_gen.spans import choose
from errors import ConfigError, InputError
from pipeline.commands import backfill
from pipeline.commands.backfill import Request, spans_between
from pipeline.config import load_config
from pipeline.config.span_range import SpanRange
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """A pipeline with spans 3, 4, 6 and 12."""
    for span in (3, 4, 6, 12):
        (tmp_path / f"span-{span}").mkdir()
        (tmp_path / f"span-{span}" / "a.csv").write_text("left_id,right_id\na,b\n")
    file = tmp_path / "pipeline.yaml"
    file.write_text("name: films\ndata: {path: 'span-{SPAN}/*.csv'}\n")
    return Request(file, ["train.epochs=3"], None, None, Root(tmp_path / "root"))


class Runs:
    """Stands in for the processes of the runs: records each, and ends it with the next of `codes`."""

    def __init__(self, request: Request, codes: Sequence[int] = ()) -> None:
        self.request, self.codes = request, list(codes)
        self.spans: list[str] = []

    def __call__(self, words: Sequence[str]) -> int:
        assert list(words[:4]) == [sys.executable, "-m", "kindred", "run"]
        span = words[words.index("--span") + 1]
        assert words[4:] == self.request.command_at(span)[1:]
        self.spans.append(span)
        code = self.codes.pop(0) if self.codes else 0
        record = RunRecord.begin(self.request.config_at(span), self.request.root.new_run())
        if code == 0:
            record.status, record.published = "published", f"serving/{len(self.spans)}"
        record.write(RunFolder(self.request.root.runs / record.run_id).summary, 0.0)
        return code


def run(request: Request, runs: Runs, monkeypatch: pytest.MonkeyPatch, wanted: str = "3..9") -> tuple[int, list[str]]:
    monkeypatch.setattr(backfill, "run_child", runs)
    said: list[str] = []
    config = load_config(request.file)
    code = backfill.backfill(request, spans_between(config, SpanRange.parse(wanted)), said.append)
    return code, said


def test_spans_of_the_range_run_in_order(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(request_)
    code, said = run(request_, runs, monkeypatch)
    assert (code, runs.spans) == (0, ["3", "4", "6"])
    assert said[-1] == "3 spans are published"


def test_backfill_stops_and_continues(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(request_, [0, 4])
    code, said = run(request_, runs, monkeypatch)
    assert (code, runs.spans) == (4, ["3", "4"])
    assert "span 4 (2 of 3): ended with exit code 4" in said[-1] and "--span 4" in said[-1]
    again = Runs(request_)
    code, said = run(request_, again, monkeypatch)
    assert (code, again.spans) == (0, ["4", "6"])
    assert "has published serving/1" in said[0]


@pytest.mark.parametrize(("section", "read"), [("", ["4"]), ("{latest: 2}", ["3", "4"]), ("{}", ["3", "4"])])
def test_span_is_the_newest_that_its_run_reads(request_: Request, section: str, read: list[str]) -> None:
    with request_.file.open("a") as file:
        file.write(f"  spans: {section}\n".replace("  spans: \n", ""))
    text = request_.file.read_text().replace("data: {path: 'span-{SPAN}/*.csv'}", "data:\n  path: span-{SPAN}/*.csv")
    request_.file.write_text(text)
    config = request_.config_at("4")
    base, pattern = split_path(config.data.path)
    assert [str(span.number) for span in choose(base, pattern, config.data)] == read


def test_other_configuration_runs_each_span_again(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    run(request_, Runs(request_), monkeypatch)
    other = Request(request_.file, ["train.epochs=4"], None, None, request_.root)
    runs = Runs(other)
    run(other, runs, monkeypatch)
    assert runs.spans == ["3", "4", "6"]


def test_signal_of_a_run_is_an_exit_code(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(request_, Runs(request_, [-9]), monkeypatch)[0] == 137


def test_unreadable_records_are_left_out(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, text in enumerate(["{", "[]", json.dumps({"status": "failed"}), "\xff"]):
        folder = request_.root.runs / f"2026010{number}-000000-000"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_bytes(text.encode("latin-1"))
    assert run(request_, Runs(request_), monkeypatch)[0] == 0


@pytest.mark.parametrize(
    ("path", "wanted", "error", "words"),
    [
        ("a.csv", "1..2", ConfigError, "data.path has no span"),
        ("span-{SPAN}/*.csv", "7..9", InputError, "no span between"),
        ("span-{SPAN}/*.csv", "2026-01-01..2026-01-02", InputError, "are numbers"),
    ],
)
def test_range_without_spans_is_refused(
    request_: Request, path: str, wanted: str, error: type[Exception], words: Any
) -> None:
    (request_.file.parent / "a.csv").write_text("left_id,right_id\na,b\n")
    config = load_config(request_.file, [f"data.path={path}"])
    with pytest.raises(error, match=words):
        spans_between(config, SpanRange.parse(wanted))
