"""Rules about scores and about which ids a side has: planted faults, and ordinary data that look similar."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.suspicious.find import find
from components.pair_example_gen.suspicious.warning import DataWarning
from tests import written_examples
from tests.written_examples import Row

pytestmark = pytest.mark.tensorflow

USERS, FILMS = 60, 40


def pairs(seed: int = 1, count: int = 900) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    return [(draw.randrange(USERS), draw.randrange(FILMS)) for _ in range(count)]


def stars(scores: Sequence[float] = (1, 2, 3, 4, 5), seed: int = 2) -> list[Row]:
    """Returns rows of users and films whose scores are drawn from `scores`."""
    draw = random.Random(seed)
    return [(b"u%d" % user, b"f%d" % film, draw.choice(scores)) for user, film in pairs()]


def found(
    folder: Path, rows: Sequence[Row], shared: bool = False, per_shard: int = 250, files: int = 1, **columns: str | int
) -> dict[str, DataWarning]:
    """Returns the warnings about rows in several shards and both splits, by kind."""
    settings = IngestSettings(path="x", unordered=shared, **({"columns": columns} if columns else {}))
    examples = written_examples.write(folder, rows[:700], rows[700:], per_shard)
    return {warning.kind: warning for warning in find(examples, settings, files)}


@pytest.mark.parametrize(
    "scores",
    [
        (1, 2, 3, 4, 5),
        (0.5, 1, 3.5, 5),
        (0, 1, 2, 3, 4, 5),
        (-1, 1),
        (-1, 0, 1),
        (-1, 0, 1, 2),
        (0, 1),
        tuple(np.random.default_rng(1).normal(0, 2, 500)),
        tuple(np.random.default_rng(1).exponential(1, 500)),
        # Counts: many zeros, and a long tail in which 99 is no exception.
        (0,) * 500 + tuple(range(1, 30)) + (60, 99, 240),
        # Similarities above a threshold, and 0 for those below it.
        (0,) * 50 + tuple(np.linspace(0.3, 1, 50)),
        # Percent, with a few at the end.
        tuple(range(40, 100)),
        # Votes below 0, each rarer than the one before.
        (0,) * 20 + (1,) * 9 + (2,) * 5 + (3, 4, 5) + (-1,) * 3,
    ],
)
def test_ordinary_scores_give_no_warning(tmp_path: Path, scores: Sequence[float]) -> None:
    assert not found(tmp_path, stars(scores))


@pytest.mark.parametrize(
    ("sentinel", "scores"),
    [
        (-1, range(1, 11)),
        (-1, np.linspace(0, 1, 50)),
        (-1, (0, 1, 2, 3, 4, 5)),
        (-999, np.linspace(-3, 3, 50)),
        (0, range(60, 101)),
        (0, (5.1, 6.2, 7.3, 8.4, 9.5)),
        (99, np.linspace(-10, 10, 50)),
        (9999, (1, 2, 3, 4, 5)),
    ],
)
def test_score_for_a_missing_value_is_counted(tmp_path: Path, sentinel: float, scores: Sequence[float]) -> None:
    rows = stars(list(scores))
    planted = range(0, 900, 4)
    for at in planted:
        rows[at] = (*rows[at][:2], sentinel)
    warning = found(tmp_path, rows)["sentinel_score"]
    assert (warning.column, warning.count) == ("data.columns.score", len(planted))
    left, right, _ = rows[0]
    assert warning.examples[0] == f"({left.decode()!r}, {right.decode()!r}, {sentinel:g})"


def test_implicit_ratings_of_a_scale_from_one_to_ten(tmp_path: Path) -> None:
    scale = (1,) + (2,) * 2 + (5,) * 5 + (8,) * 30 + (10,) * 20
    assert found(tmp_path, stars(scale + (0,) * 100)).keys() == {"sentinel_score"}


def test_constant_score(tmp_path: Path) -> None:
    assert found(tmp_path / "all", stars([1.0]))["constant_score"].count == 900
    assert not found(tmp_path / "few", stars([1.0])[:19])


@pytest.mark.parametrize("side", [0, 1])
def test_score_that_belongs_to_one_entity(tmp_path: Path, side: int) -> None:
    name_of_side = ("left", "right")[side]
    age = {name: float(random.Random(name).randrange(18, 80)) for row in stars() for name in row[:2]}
    rows = [(*row[:2], age[row[side]]) for row in stars()]
    warning = found(tmp_path / "all", rows)[f"score_of_{name_of_side}"]
    entities = len({row[side] for row in rows})
    # Oracle: every row but the first of its entity agrees with an earlier one.
    assert warning.count == len(rows) - entities
    assert f"score_of_{name_of_side}" not in found(tmp_path / "half", rows[:450] + stars()[450:])


def test_equal_scores_by_chance_do_not_count(tmp_path: Path) -> None:
    assert not found(tmp_path / "skewed", stars([1.0] * 400 + [2.0]))
    few = [(b"u%d" % (row // 2), b"f%d" % (row % 7), float(row // 2 % 2)) for row in range(30)]
    assert not found(tmp_path / "few", few)


def test_times_in_the_column_of_scores(tmp_path: Path) -> None:
    draw = random.Random(5)
    rows = [(*row[:2], float(np.float32(draw.randrange(9 * 10**8, 10**9)))) for row in stars()]
    assert found(tmp_path, rows).keys() == {"time_as_score"}


def test_header_among_ids(tmp_path: Path) -> None:
    header = (b"userId", b"movieId")
    rows = [row[:2] for row in stars()]
    warning = found(tmp_path / "named", [header, *rows], left=0, right=1)["header"]
    assert (warning.count, warning.examples) == (1, ["userId", "movieId"])
    numbered = [(b"%d" % user, b"%d" % film) for user, film in pairs()]
    assert found(tmp_path / "numbers", [(b"# from", b"to"), *numbered], left=0, right=1).keys() == {"header"}
    names = {"left": "who", "right": "what"}
    middle = [*rows[:300], (b"who", b"what"), *rows[300:], (b"who", b"what")]
    assert found(tmp_path / "middle", middle, **names)["header"].count == 2


def test_words_that_are_names_of_columns_are_no_header(tmp_path: Path) -> None:
    rows = [row[:2] for row in stars()]
    words = [*rows, (b"user_id", b"item_id"), (b"user_id", b"f1"), (b"who", b"what"), (b"u1", b"what")]
    assert not found(tmp_path / "words", words, left="who", right="what")
    # In two rows of one file, it is an entity.
    numbered = [(b"%d" % user, b"%d" % film) for user, film in pairs()]
    assert not found(tmp_path / "guest", [*numbered, (b"guest", b"1"), (b"guest", b"2")], left=0, right=1)


def test_one_number_for_each_row(tmp_path: Path) -> None:
    rows = [(b"%d" % row, b"f%d" % film) for row, (_, film) in enumerate(pairs())]
    warning = found(tmp_path, rows, left=0, right=1)["ids_that_occur_once"]
    assert (warning.column, warning.count) == ("data.columns.left", 900)


def test_one_id_for_most_rows(tmp_path: Path) -> None:
    rows = [(b"guest" if at % 5 < 3 else row[0], row[1], row[2]) for at, row in enumerate(stars())]
    warning = found(tmp_path, rows)["one_id_for_many"]
    assert (warning.column, warning.count, warning.examples) == ("data.columns.left", 540, ["guest"])


def _graph(names: str, nodes: int = 60, loops: bool = False) -> list[Row]:
    draw = random.Random(3)
    edges = [(draw.randrange(nodes), draw.randrange(nodes)) for _ in range(4000)]
    return [tuple(f"{names}{node}".encode() for node in edge) for edge in edges if loops or edge[0] != edge[1]]


def test_same_ids_on_both_sides(tmp_path: Path) -> None:
    columns = {"left": 0, "right": 1}
    assert found(tmp_path / "names", _graph("page "), **columns)["same_ids"].count == len(_graph("page "))
    assert not found(tmp_path / "shared", _graph("page "), shared=True, **columns)
    assert found(tmp_path / "no-loops", _graph(""), **columns).keys() == {"same_ids"}
    # Row numbers of two tables: an id occurs with itself as often as with another one.
    assert not found(tmp_path / "loops", _graph("", loops=True), **columns)
    part = [row for row in _graph("page ") if int(row[1].split()[1]) < 30]
    assert not found(tmp_path / "part", part, **columns)
