"""The terminal output during a run."""

from __future__ import annotations

import io

from rich.console import Console

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
