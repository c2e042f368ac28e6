"""Positives without scores: a poor, a better, an equal and a worse model. The tests run in this order."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states

POOR = ("--set", "train.epochs=1", "--set", "train.early_stopping=null")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("positives")
    planted.write_positives(folder)
    return folder


def run(place: Path, *arguments: object) -> tuple[int, str, dict[str, Any]]:
    done = kindred("run", "--config", place / "pipeline.yaml", "--root", place / "root", *arguments)
    return done.returncode, done.stderr, last_summary(place / "root")


def fingerprint(place: Path) -> dict[str, str]:
    serving = place / "root" / "serving"
    files = sorted(path for path in serving.rglob("*") if path.is_file())
    return {str(path.relative_to(serving)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_first_model_is_published(place: Path) -> None:
    code, output, summary = run(place, *POOR)
    assert code == 0, output
    assert states(summary)["RankingEvaluator"] == "executed"
    assert summary["config"]["schema"].endswith("positives.pbtxt")
    assert not any("score" in check["rule"] for check in summary["data"]["checks"])
    assert {"recall@10", "ndcg@10", "coverage@10", "baseline_recall@10"} <= set(summary["metrics"])
    assert not {"rmse", "auc"} & set(summary["metrics"])
    assert [rule["bound"] for rule in summary["blessing"]] == [0.1, None, 0.01]


def test_better_model_replaces_first(place: Path) -> None:
    poor = last_summary(place / "root")["metrics"]
    code, output, summary = run(place)
    assert code == 0, output
    assert summary["published"] == "serving/2"
    assert summary["metrics"]["recall@10"] == 1, "ten candidates are of the group, and no others are to be found"
    assert summary["metrics"]["ndcg@10"] > poor["ndcg@10"] + 0.3
    # The last blessed model is measured on the current data, which have not changed.
    assert summary["blessing"][1]["bound"] == pytest.approx(poor["ndcg@10"] - 0.15)


def test_equal_model_is_within_tolerance(place: Path) -> None:
    code, output, summary = run(place, "--set", "train.seed=2")
    assert code == 0, output
    assert summary["published"] == "serving/3"


def test_worse_model_is_refused(place: Path) -> None:
    before = fingerprint(place)
    code, output, summary = run(place, *POOR, "--set", "train.seed=3")
    assert code == 4
    assert (summary["status"], summary["published"]) == ("model_refused", None)
    assert "ndcg@10 at most 0.15 worse than last blessed model" in output
    (printed,) = re.findall(r"^ +\S*kindred (report --why .*)$", output, re.MULTILINE)
    assert [rule["ok"] for rule in summary["blessing"]] == [True, False, True]
    assert fingerprint(place) == before
    why = kindred(*shlex.split(printed)).stdout
    assert "ndcg@10 at most 0.15 worse than last blessed model: " in why and "NOT MET" in why
    assert "Worst slice by ndcg@10: left_" in why
    head, *rows = why.split("Held-out pairs with the lowest scores\n")[1].splitlines()
    assert head.split() == ["left", "right", "score", "rank"]
    scores = [float(row.split()[-2]) for row in rows[:10]]
    assert len(scores) == 10 and scores == sorted(scores)
