"""The printed report and the exit code."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.commands import doctor
from pipeline.commands.doctor.check import Check


@pytest.mark.parametrize("ok", [True, False])
def test_main_prints_fixes(ok: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check("Python", True, "CPython"), Check("disk", ok, "[full]", "Free some.")]
    monkeypatch.setattr(doctor, "diagnose", lambda: checks)
    assert doctor.main() == (0 if ok else 1)
    printed = capsys.readouterr().out
    assert "[full]" in printed
    assert ("Free some." in printed) is not ok
    assert printed.splitlines()[-1] == ("Healthy." if ok else "1 of 2 checks failed.")


def test_shared_fix_is_printed_once() -> None:
    out = io.StringIO()
    checks = [Check("a", False, "", "Fix."), Check("b", False, "", "Other."), Check("c", False, "", "Fix.")]
    doctor.render(checks, Console(file=out, width=40))
    assert out.getvalue().splitlines()[3:] == ["a, c: Fix.", "b: Other.", "3 of 3 checks failed."]


def test_long_findings_stay_on_one_line() -> None:
    out = io.StringIO()
    doctor.render([Check("x", True, "word " * 60)], Console(file=out, width=40))
    assert len(out.getvalue().splitlines()) == 2
