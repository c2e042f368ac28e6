"""Changed code changes results: the second run of a root uses the new code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import source_files
from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states

SQUARES = "_mean(np.square(of.error), of.labels)"
ALWAYS = ("LastAcceptedData", "LatestBlessedModel")
"""Resolvers run each time."""


def test_changed_metric_is_remeasured(tmp_path: Path) -> None:
    source = source_files.copy_of_the_program(tmp_path / "source")
    config = planted.write_pipeline(tmp_path)

    def run() -> dict:
        done = kindred("run", "--config", config, "--root", tmp_path / "root", source=source)
        assert done.returncode == 0, done.stderr
        return last_summary(tmp_path / "root")

    before = run()
    metrics = source / "components" / "evaluator" / "metrics.py"
    text = metrics.read_text(encoding="utf-8")
    assert text.count(SQUARES) == 1
    metrics.write_text(text.replace(SQUARES, f"100 * {SQUARES}"), encoding="utf-8")
    after = run()
    assert after["metrics"]["rmse"] == pytest.approx(10 * before["metrics"]["rmse"])
    assert after["metrics"]["mae"] == before["metrics"]["mae"]
    executed = {node_id for node_id, state in states(after).items() if state == "executed"}
    # This model is already published, so the Pusher reports `cached`.
    assert executed == {"Evaluator", "ModelCard", "ServingCanary", *ALWAYS}
    assert after["blessing"][0]["value"] == after["metrics"]["rmse"]
