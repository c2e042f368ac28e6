"""Spans that start from the span before, and a search of settings. The tests run in this order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states

# TensorFlow would read this name as a pattern that the folder does not match.
ROOT = "root[1]"
TUNE = {"trials": 2, "search": "random", "parameters": {"train.learning_rate": [0.02, 1e-6]}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first span. One of its ids is missing in the next span."""
    folder = tmp_path_factory.mktemp("warm")
    config = planted.write_pipeline(folder)
    tree = yaml.safe_load(config.read_text(encoding="utf-8").replace("pairs.csv", "data/span-{SPAN}/*.csv"))
    tree["train"]["warm_start"] = True
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    add_span(folder, 1, {})
    return folder


def add_span(place: Path, number: int, renamed: dict[str, str]) -> None:
    """The planted pairs with other noise, some ids under another name."""
    span = place / "data" / f"span-{number}"
    span.mkdir(parents=True)
    planted.write_pairs(span / "pairs.csv", seed=number)
    text = (span / "pairs.csv").read_text(encoding="utf-8")
    for old, new in renamed.items():
        text = text.replace(old, new)
    (span / "pairs.csv").write_text(text, encoding="utf-8")


def call(place: Path, command: str, *arguments: object) -> tuple[int, str, str]:
    done = kindred(command, "--config", place / "pipeline.yaml", "--root", place / ROOT, *arguments)
    return done.returncode, done.stderr, done.stdout


def epochs(place: Path) -> int:
    newest = max((place / ROOT / "pipeline" / "Trainer" / "model_run").iterdir(), key=lambda path: int(path.name))
    return len(json.loads((newest / "history.json").read_text(encoding="utf-8"))["loss"])


def test_first_span_starts_cold(place: Path) -> None:
    code, output, _ = call(place, "run")
    assert code == 0, output
    assert "cold start: no model of other examples has been blessed" in output
    assert last_summary(place / ROOT)["warm_start"]["cold"] == "no model of other examples has been blessed"
    assert "tuning" not in last_summary(place / ROOT)


def test_second_span_starts_warm_with_tuned_setting(place: Path) -> None:
    cold = epochs(place)
    add_span(place, 2, {"left 07": "left 77", "right-03 é": "right-90 é", "right-04 é": "right-91 é"})
    tree = yaml.safe_load((place / "pipeline.yaml").read_text(encoding="utf-8"))
    tree["train"]["learning_rate"] = 1e-6  # too small to learn anything
    (place / "pipeline.yaml").write_text(yaml.safe_dump({**tree, "tune": TUNE}), encoding="utf-8")
    code, output, _ = call(place, "run")
    assert code == 0, output
    assert "trial 2 of at most 3: rmse" in output and "2 trials, best rmse" in output
    assert ": train.learning_rate 0.02. Current settings: rmse" in output and ", 95 % interval -" in output
    assert "warm start: left ids 59 kept, 1 new, 1 vanished; right ids 38 kept, 2 new, 2 vanished" in output
    summary = last_summary(place / ROOT)
    found = summary["warm_start"]
    assert found["left"] == {"kept": 59, "new": 1, "vanished": 1}
    assert found["right"] == {"kept": 38, "new": 2, "vanished": 2}
    assert found["base_model"].startswith(str(place / ROOT / "pipeline" / "Trainer" / "model"))
    tried = summary["tuning"]
    # The file has one of the two choices.
    assert tried["measure"] == "rmse" and tried["asked"] == len(tried["trials"]) == 2
    assert (tried["current"], tried["chosen"], tried["trials"][0]["better"]) == (0, 1, True)
    assert [trial["settings"]["train.learning_rate"] for trial in tried["trials"]] == [0.02, 1e-6]
    assert 1 < epochs(place) < cold
    assert summary["metrics"]["rmse"] < 0.3


def test_lineage_and_card_include_first_span(place: Path) -> None:
    first, second = sorted(path.parent.name for path in (place / ROOT / "runs").glob("*/summary.json"))
    found = json.loads(kindred("lineage", "latest", "--root", place / ROOT, "--json").stdout)
    assert (found["run"], found["data"]["span"], found["published"]) == (second, 2, ["serving/2"])
    assert found["tuned"] == {"train.learning_rate": 0.02}
    parent = found["parent"]
    assert (parent["run"], parent["data"]["span"], parent["published"], parent["parent"]) == (
        first,
        1,
        ["serving/1"],
        None,
    )
    assert [file["path"] for file in parent["data"]["files"]] == [str(place / "data" / "span-1" / "pairs.csv")]
    assert parent["data"]["files"][0]["digest"] != found["data"]["files"][0]["digest"]
    card = (place / ROOT / "serving" / "2" / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert "learning rate 0.02," in card and "warm, from the last blessed model" in card and ", span 2 |" in card
    report = (place / ROOT / "runs" / second / "report.html").read_text(encoding="utf-8")
    assert f"Parent: the model of run <code>{first}</code>" in report and "Warm start: 59 left entities" in report
    assert "2 trials on the same training rows, measured by rmse" in report and "last accepted" in report


def test_unchanged_span_uses_cache(place: Path) -> None:
    first = last_summary(place / ROOT)
    code, output, _ = call(place, "run")
    assert code == 0, output
    summary = last_summary(place / ROOT)
    assert {states(summary)[node] for node in ("Tuner", "Trainer", "Evaluator", "Pusher")} == {"cached"}
    assert (summary["warm_start"], summary["tuning"]) == (first["warm_start"], first["tuning"])


def test_tune_prints_best_settings(place: Path) -> None:
    code, output, printed = call(place, "tune")
    assert code == 0, output
    summary = last_summary(place / ROOT)
    assert summary["status"] == "tuned" and list(states(summary).items())[-1] == ("Tuner", "cached")
    assert "Trainer" not in states(summary)
    table, _, pasted = printed.partition("The best settings, for the pipeline file:\n")
    assert [line.split()[-1] for line in table.splitlines()[:3]] == ["train.learning_rate", "0.02", "1e-06"]
    assert yaml.safe_load(pasted) == {"train": {"learning_rate": 0.02}}


def test_pruned_root_goes_on(place: Path) -> None:
    """Pruning removes the first span's run. Lineage ends there, and cache, warm start and rollback work as before."""
    add_span(place, 3, {})
    for changes in (("--set", "publish.keep=2"), ()):
        code, output, _ = call(place, "run", *changes)
        assert code == 0, output
    first, second, *_, newest = sorted(path.parent.name for path in (place / ROOT / "runs").glob("*/summary.json"))
    done = kindred("prune", "--root", place / ROOT, "--keep", 1)
    assert done.returncode == 0 and " executions" in done.stdout, done.stderr + done.stdout
    before = kindred("lineage", newest, "--root", place / ROOT, "--json")
    found = json.loads(before.stdout)
    assert (found["data"]["span"], found["parent"]["run"], found["parent"]["parent"]) == (3, second, None)
    pruned = kindred("lineage", first, "--root", place / ROOT)
    assert pruned.returncode == 2 and f"run {first} was pruned" in pruned.stderr
    code, output, _ = call(place, "run")
    assert code == 0, output
    assert {states(last_summary(place / ROOT))[node] for node in ("Tuner", "Trainer", "Evaluator")} == {"cached"}
    rolled = kindred("rollback", "--root", place / ROOT, "--reason", "a test")
    assert rolled.returncode == 0, rolled.stderr
    assert kindred("verify", "--root", place / ROOT).returncode == 0
