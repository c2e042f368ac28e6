"""Three spans in a row: cached where unchanged, drift reported, the third refused when its ids are all new."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import planted
from tests.e2e.command import kindred, last_summary, states

UPSTREAM = ("PairExampleGen", "StatisticsGen", "ExampleValidator", "DataGate", "Transform", "Trainer")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first span."""
    folder = tmp_path_factory.mktemp("spans")
    config = planted.write_pipeline(folder)
    config.write_text(config.read_text().replace("pairs.csv", "data/span-{SPAN}/*.csv"))
    add_span(folder, 1)
    return folder


def add_span(place: Path, number: int, renamed: str = "") -> None:
    """Writes the planted pairs with other noise. `renamed` is a prefix of every id."""
    span = place / "data" / f"span-{number}"
    span.mkdir(parents=True)
    planted.write_pairs(span / "pairs.csv", seed=number)
    if renamed:
        header, *rows = (span / "pairs.csv").read_text(encoding="utf-8").splitlines()
        rows = [",".join(renamed + cell if i < 2 else cell for i, cell in enumerate(row.split(","))) for row in rows]
        (span / "pairs.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def run(place: Path, *arguments: object) -> tuple[int, str]:
    done = kindred("run", "--config", place / "pipeline.yaml", "--root", place / "root", *arguments)
    return done.returncode, done.stderr


def checks(place: Path) -> dict[str, float]:
    return {check["rule"]: check["value"] for check in last_summary(place / "root")["data"]["checks"]}


def test_first_span_has_nothing_to_be_compared_with(place: Path) -> None:
    code, output = run(place)
    assert code == 0, output
    assert "no earlier data" in output
    assert last_summary(place / "root")["data"]["compared_with_last_accepted"] is False
    assert "validate.max_unseen_share" not in checks(place)


def test_unchanged_span_comes_from_cache(place: Path) -> None:
    code, output = run(place)
    assert code == 0, output
    cached = states(last_summary(place / "root"))
    assert {cached[node] for node in UPSTREAM} == {"cached"}


def test_second_span_is_read_compared_and_accepted(place: Path) -> None:
    add_span(place, 2)
    code, output = run(place)
    assert code == 0, output
    summary = last_summary(place / "root")
    assert {states(summary)[node] for node in UPSTREAM} == {"executed"}
    assert summary["data"]["compared_with_last_accepted"] is True
    assert checks(place)["validate.max_unseen_share"] == 0
    assert 0 <= checks(place)["validate.max_score_divergence"] < 0.1
    assert "against the last accepted data" in output


def test_span_with_new_ids_is_refused(place: Path) -> None:
    add_span(place, 3, renamed="new ")
    code, output = run(place)
    assert code == 3
    assert "left_id: 100.0% of the pairs have entities that are not in the last accepted data" in output
    assert "'new left" in output
    assert "--accept-anomalies" in output
    summary = last_summary(place / "root")
    assert summary["status"] == "data_refused"
    assert summary["published"] is None


def test_overruled_gate_is_recorded(place: Path) -> None:
    code, output = run(place, "--accept-anomalies", "ids were renamed")
    assert code == 0, output
    assert "accepted: ids were renamed" in output
    assert last_summary(place / "root")["data"]["accepted_anomalies"] == "ids were renamed"
    again, output = run(place)
    assert again == 3, output
