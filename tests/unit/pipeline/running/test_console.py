"""What is on the terminal while a run goes on."""

from __future__ import annotations

import io

from rich.console import Console

from pipeline.running.console import RunConsole


def test_what_runs_at_the_same_time_is_shown_together_and_goes_when_it_has_ended() -> None:
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


def test_where_the_output_is_no_terminal_only_lines_that_stay_are_written() -> None:
    out = io.StringIO()
    console = RunConsole(Console(file=out, width=80))
    with console.component("Trainer"):
        pass
    assert out.getvalue() == ""
