"""`kindred check`: every fault at once, and a verdict that a run confirms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import load_config, yaml_file

ROWS = "user,film,stars\nu1,f1,4\nu2,f2,3\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text(ROWS)
    return tmp_path


def _write(folder: Path, **sections: Any) -> Path:
    columns = {"left": "user", "right": "film", "score": "stars"}
    tree = {"name": "films", "data": {"path": "pairs.csv", "columns": columns}, **sections}
    path = folder / "pipeline.yaml"
    path.write_text(yaml_file.dump(tree))
    return path


def _check(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["check", "--config", "pipeline.yaml", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_good_file_exits_zero_and_writes_nothing(folder: Path) -> None:
    _write(folder)
    code, out, err = _check()
    assert (code, err) == (0, "")
    assert "1 file with the columns left user, right film, score stars" in out
    assert out.splitlines()[-1].endswith("run --config pipeline.yaml")
    assert sorted(path.name for path in folder.iterdir()) == ["pairs.csv", "pipeline.yaml"]


def test_every_fault_is_reported_at_once(folder: Path) -> None:
    _write(
        folder,
        data={"path": "pairs.csv", "columns": {"left": "users", "right": "film", "score": "stars"}},
        train={"epochs": 0, "bach_size": 5},
        evaluate={"metrics": ["rsme"]},
        schema="none.pbtxt",
    )
    code, out, err = _check()
    assert (code, out) == (2, "")
    for text in (
        "train.epochs: must be greater than 0 (got 0)",
        "train.bach_size: unknown key. Did you mean batch_size?",
        "Did you mean rmse?",
        "none.pbtxt: no such file",
        "no column 'users'. Did you mean 'user'?",
    ):
        assert err.count(text) == 1
    assert all(line.startswith("error: ") for line in err.splitlines())


def test_rules_of_several_sections_are_reported_together(folder: Path) -> None:
    _write(
        folder,
        model={"objective": "softmax"},
        evaluate={"metrics": ["cold_recall@10"], "bless": [{"metric": "rmse", "below": 1}]},
    )
    code, _, err = _check()
    assert code == 2
    assert "model.objective: softmax takes every pair" in err
    assert "cold_recall@10 ranks right entities without pairs" in err


def test_missing_data_foreign_destination_and_root_are_reported(folder: Path) -> None:
    (folder / "here" / "serving" / "7").mkdir(parents=True)
    (folder / "file").write_text("")
    _write(folder)
    code, _, err = _check("--data", "gone.csv", "--root", "here")
    assert code == 2
    assert "gone.csv: no such file" in err
    assert "publish.to" in err
    assert len(err.splitlines()) == 2
    assert "cannot be written" in _check("--root", "file/root")[2]


def test_faults_of_many_files_are_cut(folder: Path) -> None:
    (folder / "many").mkdir()
    for number in range(9):
        (folder / "many" / f"{number}.csv").write_text("a,b,c\n1,2,3\n")
    _write(folder)
    err = _check("--data", "many")[2].splitlines()
    assert len(err) == 6
    assert "other files may have faults too" in err[-1]


def test_files_of_the_chosen_spans_are_checked(folder: Path) -> None:
    for span, text in ((1, ROWS.replace("film", "movie")), (2, ROWS)):
        (folder / "spans" / f"span-{span}").mkdir(parents=True)
        (folder / "spans" / f"span-{span}" / "p.csv").write_text(text)
    _write(folder)
    assert _check("--data", "spans/span-{SPAN}/*")[0] == 0
    code, _, err = _check("--data", "spans/span-{SPAN}/*", "--set", "data.spans.latest=2")
    assert code == 2
    assert "span-1/p.csv has no column 'film'" in err


def test_shown_configuration_is_the_same_pipeline_file(folder: Path) -> None:
    path = _write(folder, model={"dimension": 7})
    code, out, err = _check("--show", "--set", "train.seed=5")
    shown = folder / "shown.yaml"
    shown.write_text(out)
    assert code == 0
    assert "Next:" in err
    assert load_config(shown) == load_config(path, ["train.seed=5"])


def test_next_command_has_the_given_options(folder: Path) -> None:
    _write(folder)
    (folder / "other.csv").write_text(ROWS)
    out = _check("--data", "other.csv", "--root", "r", "--set", "train.seed=5")[1]
    assert out.splitlines()[-1].endswith("run --config pipeline.yaml --data other.csv --root r --set train.seed=5")


def test_json_has_faults_and_configuration(folder: Path) -> None:
    _write(folder)
    good = json.loads(_check("--json")[1])
    assert (good["ok"], good["faults"], good["config"]["train"]["seed"]) == (True, [], 1)
    code, out, _ = _check("--json", "--set", "train.epochs=-1")
    bad = json.loads(out)
    assert (code, bad["ok"], bad["config"]) == (2, False, None)
    assert "train.epochs" in bad["faults"][0]


def test_recognized_dialect_is_reported(folder: Path) -> None:
    (folder / "pairs.csv").write_text(ROWS.replace(",", ";"))
    _write(folder)
    assert "Recognized: delimiter semicolon" in _check()[1]


def test_missing_column_is_sought_in_the_divided_header(folder: Path) -> None:
    """Without a known column, the delimiter of a file is not known."""
    (folder / "pairs.csv").write_text(ROWS.replace(",", ";"))
    _write(folder, data={"path": "pairs.csv", "columns": {"left": "users", "right": "films"}})
    err = _check()[2]
    assert (
        "no column 'users'. Did you mean 'user'? Its columns are 'user', 'film', 'stars', if ';' separates them" in err
    )
