"""The program of docs/api.md runs, in the order of its blocks, and gives planted answers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.documented import blocks
from tests.source_files import REPOSITORY

_PAGE = REPOSITORY / "docs" / "api.md"
# Users like the films of their own group: even or odd.
_FACTS = """
import json
print("FACTS", json.dumps({
    "status": done.status, "version": done.version, "why": done.why(), "runs": len(runs("films")),
    "raised": done.raise_for_status().id == done.id, "loaded": done.model().path == model.path,
    "value": answer.value, "scores": table.column("score").to_pylist(),
    "best": [one.id for one in best], "fans": [one.id for one in fans], "others": [one.id for one in others],
    "like_film": [one.id for one in like_film], "for_new_user": [one.id for one in for_new_user],
    "lists": model.recommend(k=10, exclude=(seen["user"], seen["film"])).read_all().to_pylist(),
    "seen": [*zip(seen["user"].to_pylist(), seen["film"].to_pylist())],
    "vectors": found.vectors.shape, "known": found.known.tolist(),
}))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("api")
    found = blocks(_PAGE, _PAGE.read_text(encoding="utf-8"))
    program = [line for block in found if block.language == "python" for line in block.lines]
    (folder / "program.py").write_text("\n".join([*program, _FACTS]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def facts(printed: list[str]) -> dict[str, Any]:
    (line,) = (line for line in printed if line.startswith("FACTS "))
    found: dict[str, Any] = json.loads(line.removeprefix("FACTS "))
    return found


def _is_even(name: str) -> bool:
    return int(name.strip("userfilm")) % 2 == 0


def test_run_is_published(facts: dict[str, Any]) -> None:
    assert (facts["status"], facts["version"], facts["runs"]) == ("published", 1, 1)
    assert facts["raised"] and facts["loaded"] and "rmse" in facts["why"]


def test_scores_are_those_of_the_groups(facts: dict[str, Any]) -> None:
    assert facts["value"] == pytest.approx(5, abs=0.5)
    likes, dislikes = facts["scores"]
    assert likes > 1 and dislikes < -1


@pytest.mark.parametrize("name", ["best", "fans", "others", "like_film", "for_new_user"])
def test_rankings_stay_in_the_group(facts: dict[str, Any], name: str) -> None:
    assert len(facts[name]) == 5 and all(map(_is_even, facts[name]))


def test_excluded_film_is_left_out(facts: dict[str, Any]) -> None:
    assert facts["best"][0] not in facts["others"]


def test_lists_repeat_no_seen_pair(facts: dict[str, Any]) -> None:
    seen = {tuple(pair) for pair in facts["seen"]}
    lists = [(row["left_id"], row["right_id"]) for row in facts["lists"]]
    assert len({left for left, _ in lists}) == 60 and not seen & set(lists)
    first = [row for row in facts["lists"] if row["rank"] == 1]
    assert all(_is_even(row["left_id"]) == _is_even(row["right_id"]) for row in first)


def test_vectors_have_the_dimension_of_the_run(facts: dict[str, Any]) -> None:
    assert facts["vectors"] == [2, 8] and facts["known"] == [True, True]


def test_errors_are_sentences(printed: list[str]) -> None:
    assert "films.yaml: train.epoch: unknown key. Did you mean epochs?" in printed
    assert "ModelNotFound no/such/root: no such directory. `kindred run` publishes to ROOT/serving" in printed
