"""Advice on a command line and in a task of Kubeflow."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kindred import advice

ROOT = Path(__file__).parents[3]
SAY: list[tuple[Callable[[], str], str, str]] = [
    (advice.set_data, "set --data PATH", "set the run parameter data_path"),
    (lambda: advice.set_root("another directory"), "Set --root to another", "Set the run parameter pipeline_root to"),
    (advice.accept_data, "add --accept-anomalies REASON", "`kindred submit --set accept_anomalies=REASON`"),
    (lambda: " ".join(advice.see_evaluation("/k/runs/r")), "report --why /k/runs/r", "output `report` of the task"),
    (lambda: advice.restore_version("/k", "serving"), "rollback --undo --root /k`", "where the volume is mounted"),
]


@pytest.mark.parametrize(("say", "typed", "on_kubeflow"), SAY)
def test_advice_fits_the_place(
    monkeypatch: pytest.MonkeyPatch, say: Callable[[], str], typed: str, on_kubeflow: str
) -> None:
    monkeypatch.setattr("sys.argv", ["/repository/.venv/bin/kindred", "run"])
    assert typed in say() and "run parameter" not in say()
    monkeypatch.setattr("sys.argv", ["/app/pipeline/kubeflow/node.py", "--nodes", "Trainer"])
    assert on_kubeflow in say() and "--data" not in say() and "--accept-anomalies" not in say()


def test_components_name_no_option_of_the_command_line() -> None:
    """A task on Kubeflow has no such options, so `kindred.advice` writes them."""
    options = re.compile(r"--(data|root|accept-anomalies|span|config) [A-Z]")
    files = [path for folder in ("components", "trainer") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    assert [path for path in files if options.search(path.read_text(encoding="utf-8"))] == []
