"""Reads public research data from the folder KINDRED_BENCH_DATA. The data are not part of this project.

The folder has `ml-100k`, `ml-1m`, `ml-1m-ncf`, `lastfm`, `gowalla`, `amazon-beauty`, `kiba` and `word-sim`, as listed
in docs/quality.md.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

VARIABLE = "KINDRED_BENCH_DATA"
FOLDS = 5


@dataclasses.dataclass(frozen=True)
class Ratings:
    """Scored pairs of entity numbers: `left`, `right` int32 `[n]`, `score` float64 `[n]`."""

    left: np.ndarray
    right: np.ndarray
    score: np.ndarray

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of entities on each side."""
        return int(self.left.max()) + 1, int(self.right.max()) + 1


@dataclasses.dataclass(frozen=True)
class Positives:
    """Numbered pairs of users and items, int32 `[n, 2]`.

    `negatives` `[tests, k]` are ranked with the test item. `times` `[n]` are those of the training pairs.
    """

    train: np.ndarray
    test: np.ndarray
    validation: np.ndarray | None = None
    negatives: np.ndarray | None = None
    times: np.ndarray | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of entities on each side."""
        parts = [part for part in (self.train, self.test, self.validation) if part is not None]
        users = max(int(part[:, 0].max()) for part in parts)
        items = [int(part[:, 1].max()) for part in parts]
        return users + 1, max([*items, 0 if self.negatives is None else int(self.negatives.max())]) + 1


def folder() -> Path:
    """Returns the folder of the data.

    Raises:
      SystemExit: the variable is not set, or is not a folder.
    """
    named = os.environ.get(VARIABLE)
    if not named or not Path(named).is_dir():
        sys.exit(f"{VARIABLE} must be the folder of the research data (docs/quality.md), but is {named!r}")
    return Path(named)


def ml_100k() -> tuple[Ratings, list[np.ndarray]]:
    """Returns MovieLens 100K and its five test folds u1 to u5, bool `[n]` each."""
    ratings = _ratings(folder() / "ml-100k" / "ratings_100k.tsv.gz", "\t", has_header=False)
    table = _columns(folder() / "ml-100k" / "ratings_100k.tsv.gz", "\t", has_header=False)
    keys = table[0].astype(np.int64) << 32 | table[1].astype(np.int64)
    folds = []
    for number in range(1, FOLDS + 1):
        test = _columns(folder() / "ml-100k" / f"u{number}.test.gz", "\t", has_header=False)
        folds.append(np.isin(keys, test[0].astype(np.int64) << 32 | test[1].astype(np.int64)))
    return ratings, folds


def ml_1m() -> tuple[Ratings, list[np.ndarray]]:
    """Returns MovieLens 1M and five random folds, drawn with seed 0."""
    ratings = _ratings(folder() / "ml-1m" / "ratings.csv.gz", ",", has_header=True)
    fold = np.random.default_rng(0).permutation(len(ratings.score)) % FOLDS
    return ratings, [fold == number for number in range(FOLDS)]


def kiba() -> tuple[Ratings, list[np.ndarray]]:
    """Returns KIBA drug-protein affinities and fold 0, the test fold."""
    path = folder() / "kiba" / "pairs.csv.gz"
    return _ratings(path, ",", has_header=True), [_columns(path, ",", has_header=True)[3] == 0]


def ml_1m_leave_last_out() -> Positives:
    """Returns MovieLens 1M, split as in He et al. (2017): the last film of a user is ranked with 99 unseen films."""
    place = folder() / "ml-1m-ncf"
    columns = {part: _columns(place / f"ml-1m.{part}.rating.gz", "\t", has_header=False) for part in ("train", "test")}
    train, test = (np.stack(found[:2], axis=1) for found in columns.values())
    with gzip.open(place / "ml-1m.test.negative.gz", "rt") as lines:
        negatives = np.array([[int(item) for item in line.split("\t")[1:]] for line in lines], np.int32)
    return Positives(train.astype(np.int32), test.astype(np.int32), negatives=negatives)


def lastfm() -> Positives:
    """Returns Last.fm, split 7:1:2."""
    train, validation, test = (_lists(folder() / "lastfm" / f"{part}.txt.gz") for part in ("train", "valid", "test"))
    return Positives(train, test, validation)


def gowalla() -> Positives:
    """Returns Gowalla check-ins, split as in He et al. (2020)."""
    return Positives(*(_lists(folder() / "gowalla" / f"{part}.txt.gz") for part in ("train", "test")))


def amazon_beauty() -> Positives:
    """Returns Amazon Beauty, split 7:1:2."""
    train, validation, test = (
        np.stack(_columns(folder() / "amazon-beauty" / f"{part}.txt.gz", " ", has_header=False)[:2], axis=1)
        for part in ("train", "valid", "test")
    )
    return Positives(*(part.astype(np.int32) for part in (train, test, validation)))


def word_similarities() -> Iterator[tuple[str, list[tuple[str, str, float]]]]:
    """Yields the name of each set, and its pairs of words with their human similarity scores."""
    for path in sorted((folder() / "word-sim").glob("EN-*.txt")):
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        yield path.stem.removeprefix("EN-"), [(one, other, float(score)) for one, other, score in rows]


def _columns(path: Path, delimiter: str, has_header: bool) -> list[np.ndarray]:
    read = pa.csv.ReadOptions(autogenerate_column_names=not has_header)
    table = pa.csv.read_csv(path, read, pa.csv.ParseOptions(delimiter=delimiter))
    return [column.to_numpy() for column in table.columns]


def _ratings(path: Path, delimiter: str, has_header: bool) -> Ratings:
    left, right, score = _columns(path, delimiter, has_header)[:3]
    numbers = [np.unique(side, return_inverse=True)[1].astype(np.int32) for side in (left, right)]
    return Ratings(numbers[0], numbers[1], score.astype(np.float64))


def _lists(path: Path) -> np.ndarray:
    """Reads lines of a user and its items as pairs, int32 `[n, 2]`."""
    with gzip.open(path, "rt") as lines:
        rows = [[int(number) for number in line.split()] for line in lines]
    return np.array([(user, item) for user, *items in rows for item in items], np.int32)
