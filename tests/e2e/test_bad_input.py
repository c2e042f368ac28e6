"""Mistakes of a user: exit code, message with key and rule, no traceback, no partial publication."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import planted
from tests.e2e.command import kindred, last_summary


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A valid pipeline file."""
    return planted.write_pipeline(tmp_path)


def run(config: Path, *arguments: object) -> tuple[int, str]:
    done = kindred("run", "--config", config, "--root", config.parent / "root", *arguments)
    return done.returncode, done.stderr


def refuse(config: Path, *arguments: object) -> str:
    """Runs and expects exit code 2 before anything is written."""
    code, output = run(config, *arguments)
    assert code == 2, output
    assert not (config.parent / "root").exists()
    return output


def test_missing_pipeline_file(config: Path) -> None:
    output = refuse(config.with_name("nowhere.yaml"))
    assert "nowhere.yaml: no such pipeline file" in output


def test_missing_data_file(config: Path) -> None:
    output = refuse(config, "--data", "nowhere.csv")
    assert "nowhere.csv: no such file" in output
    assert "--data PATH" in output


def test_empty_directory(config: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "the directory has no files" in refuse(config, "--data", tmp_path / "empty")


def test_missing_column(config: Path) -> None:
    output = refuse(config, "--set", "data.columns.score=stars")
    assert "data.columns.score" in output
    assert "no column 'stars'" in output
    assert "'who', 'what', 'liking'" in output


def test_empty_file(config: Path) -> None:
    (config.parent / "pairs.csv").write_text("")
    assert "pairs.csv is empty" in refuse(config)


def test_truncated_gzip(config: Path) -> None:
    (config.parent / "pairs.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
    assert "pairs.csv.gz cannot be read" in refuse(config, "--data", config.parent / "pairs.csv.gz")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", "train.epoch: unknown key"),
        ("train.epochs='3'", "train.epochs: must be a valid integer (got '3')"),
        ("train.learning_rate=-1", "train.learning_rate: must be greater than 0 (got -1)"),
        ("evaluate.bless=[{metric: rmse}]", "a rule has exactly one of below, above, better_than"),
        ("train", "must have the form section.key=value"),
    ],
)
def test_bad_pipeline_file(config: Path, override: str, words: str) -> None:
    assert words in refuse(config, "--set", override)


def test_unknown_beam_profile(config: Path) -> None:
    assert "--beam cluster: unknown profile. Choose from local, flink, dataflow" in refuse(config, "--beam", "cluster")


def test_root_is_a_file(config: Path) -> None:
    (config.parent / "root").write_text("")
    code, output = run(config)
    assert code == 2
    assert "--root" in output
    assert "cannot be written" in output


def test_header_without_rows(config: Path) -> None:
    (config.parent / "pairs.csv").write_text("who,what,liking\n")
    code, output = run(config)
    assert code == 2
    assert "no rows after the header" in output
    assert not (config.parent / "root" / "serving").exists()


def test_too_few_rows_are_stopped_by_the_gate(config: Path) -> None:
    (config.parent / "pairs.csv").write_text("who,what,liking\na,b,1\nc,d,2\n")
    code, output = run(config)
    assert code == 3
    assert "at least 10 are needed" in output
    summary = last_summary(config.parent / "root")
    assert summary["status"] == "data_refused"
    assert summary["components"][-1] | {"seconds": 0} == {"id": "DataGate", "state": "failed", "seconds": 0}
    assert summary["published"] is None
    assert summary["metrics"] == {}


def test_too_many_bad_rows_are_refused_with_reasons(config: Path) -> None:
    with (config.parent / "pairs.csv").open("a") as file:
        file.write("left 01,right-01,many\n,right-02,1\n" * 50)
    code, output = run(config)
    assert code == 3
    assert "51 x score is not a number" in output
    assert "50 x left id is empty" in output
    assert "data.max_quarantined_fraction" in output
