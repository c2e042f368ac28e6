"""The terminal output during a run."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from kindred import progress
from pipeline.running.console import RunConsole


def test_concurrent_tasks_are_shown_together() -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80, color_system=None)
    console = RunConsole(terminal)
    with console.running() as show:
        show(["Trainer", "StatisticsGen"])
        show(["Trainer"])
        console.finished("StatisticsGen", "executed", 1.0, "all rows")
        show([])
    said = out.getvalue()
    assert "Trainer" in said
    assert "  StatisticsGen        executed     1.0 s  all rows\n" in said


def test_non_terminal_gets_only_final_lines() -> None:
    out = io.StringIO()
    console = RunConsole(Console(file=out, width=80))
    with console.component("Trainer"):
        pass
    assert out.getvalue() == ""


@pytest.mark.parametrize("width", [40, 60, 79])
def test_component_fits_a_narrow_terminal(width: int) -> None:
    out = io.StringIO()
    console = RunConsole(Console(file=out, force_terminal=True, color_system="standard", width=width))
    detail = "2,165 rows: 1,939 train, 225 eval, 1 quarantined; 1 file of 語語語語, kept epoch 7 by ndcg@10"
    console.finished("RankingEvaluator", "executed", 1234.5, detail)
    lines = re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()).splitlines()
    assert lines[0] == "  RankingEvaluator executed 1234.5 s"
    assert all(cell_len(line) <= width for line in lines)
    assert " ".join(lines[1:]).split() == detail.split()
    assert "\x1b[32m executed" in out.getvalue(), "the state has its color"


def test_quiet_console_shows_warnings_only() -> None:
    out = io.StringIO()
    console = RunConsole(Console(file=out, force_terminal=True, color_system=None, width=80), quiet=True)
    with console.component("Trainer"):
        progress.show("trial 1")
        with progress.counted("rows", 10):
            progress.advance("rows", 10)
    console.finished("Trainer", "executed", 1.0, "")
    console.say("films: a.csv -> root")
    console.say("warning: text as a score", "yellow")
    assert out.getvalue() == "warning: text as a score\n"


def test_terminal_shows_how_far_a_component_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_WATCHED_SECONDS", 0.0)
    out = io.StringIO()
    console = RunConsole(Console(file=out, force_terminal=True, color_system=None, width=100))
    with console.component("BatchLists"), progress.counted("lists", 1000):
        progress.advance("lists", 500)
        time.sleep(0.3)  # the terminal is drawn ten times per second
    assert "BatchLists  500 of 1,000 lists" in out.getvalue()
