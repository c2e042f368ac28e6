"""The words example: counts and scores of a planted text, and the data of the installed Python."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from examples.word_pairs import make_pairs
from examples.word_pairs.cooccurrence import Recipe, ScoredPair, count_pairs, scored_pairs, tokens
from examples.word_pairs.documentation import source_entries, texts

ROOT = Path(__file__).parents[3]
PLANTED = ["lock thread lock", "thread lock", "lock thread", "socket port", "socket port", "port socket thread"]
EVERYTHING = Recipe(window=2, words=99, contexts=99, min_texts=1, min_count=1, smoothing=1.0, shrinkage=0.0)


@pytest.fixture(scope="module")
def made_twice(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Returns the file and the output of the command, under two hash seeds."""
    folder = tmp_path_factory.mktemp("data")
    outputs = [folder / seed / "pairs.csv" for seed in ("1", "2")]
    running = [_start(output, hash_seed=output.parent.name) for output in outputs]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    return list(zip(outputs, printed, strict=True))


def _start(output: Path, hash_seed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "examples.word_pairs.make_pairs", "--output", str(output)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def made(made_twice: list[tuple[Path, str]]) -> Path:
    """Returns the first file."""
    return made_twice[0][0]


def _oracle_counts(lines: list[str], window: int) -> Counter[tuple[str, str]]:
    """Counts by comparing every two positions of every line."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        words = line.split()
        near = {(a, b) for i, a in enumerate(words) for j, b in enumerate(words) if 0 < abs(i - j) <= window}
        counts.update(pair for pair in near if pair[0] != pair[1])
    return counts


def test_tokens_are_lower_case_words() -> None:
    assert tokens("Use os.path.join() and the __init__ of utf8-Codecs, x2 a_ _ __ 42") == [
        "os", "path", "join", "__init__", "utf", "codecs", "a_",
    ]  # fmt: skip


def test_pairs_count_once_per_text() -> None:
    words = {"lock", "thread", "socket", "port"}
    for window in (1, 2):
        counts = count_pairs([line.split() for line in PLANTED], words, words, window)
        assert counts == _oracle_counts(PLANTED, window)
    assert counts["lock", "thread"] == counts["thread", "lock"] == 3
    assert counts["thread", "port"] == 1
    assert ("lock", "port") not in counts


def test_non_context_words_count_only_left() -> None:
    counts = count_pairs([["lock", "thread"]], {"lock", "thread"}, {"lock"}, window=2)
    assert counts == {("thread", "lock"): 1}


def test_pmi_matches_formula() -> None:
    scores = {(pair.word, pair.context): pair.pmi for pair in scored_pairs(PLANTED, EVERYTHING)}
    # 16 counted pairs: lock 3, thread 5 (3 lock, 1 socket, 1 port), socket 4, port 4 (3 with each other, 1 thread).
    assert len(scores) == 8
    assert scores["lock", "thread"] == pytest.approx(math.log((3 / 16) / ((3 / 16) * (5 / 16))))
    assert scores["socket", "port"] == pytest.approx(math.log((3 / 16) / ((4 / 16) * (4 / 16))))
    assert scores["thread", "port"] == pytest.approx(math.log((1 / 16) / ((5 / 16) * (4 / 16))))
    assert scores["thread", "port"] < 0 < scores["socket", "port"]


def test_smoothing_and_shrinkage_follow_their_formulas() -> None:
    recipe = Recipe(window=2, words=99, contexts=99, min_texts=1, min_count=2, smoothing=0.75, shrinkage=1.0)
    expected = 4 * 4**0.75 / (3**0.75 + 5**0.75 + 2 * 4**0.75)
    pairs = scored_pairs(PLANTED, recipe)
    assert [(pair.word, pair.context) for pair in pairs] == [
        ("lock", "thread"), ("port", "socket"), ("socket", "port"), ("thread", "lock"),
    ]  # fmt: skip
    assert pairs[2].pmi == pytest.approx(math.log((3 + 1) / (expected + 1)))


def test_vocabulary_breaks_ties_alphabetically() -> None:
    pairs = scored_pairs(["aa bb", "aa cc", "bb dd", "aa cc"], Recipe(words=3, contexts=1, min_texts=1, min_count=1))
    assert {pair.word for pair in pairs} == {"bb", "cc"}
    assert {pair.context for pair in pairs} == {"aa"}


def test_source_files_are_not_executed(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "support.py").write_text('"""Not documentation."""')
    (tmp_path / "strange.py").write_text('"""Not of the standard library."""')
    (tmp_path / "json.py").write_text("def broken(:")
    (tmp_path / "queue.py").write_text(
        '"""Queues."""\nraise SystemExit("executed")\n'
        'class Queue:\n    """A queue."""\n    def put(self, item, *, block=True, **more):\n        """Put it."""\n'
    )
    assert list(source_entries(tmp_path)) == [
        ("queue", "Queues."),
        ("queue Queue", "A queue."),
        ("queue Queue put item block more", "Put it."),
    ]


def test_texts_are_distinct_without_doctests() -> None:
    documentation = texts()
    assert any(text.startswith("threading Thread join timeout\n") for text in documentation)
    assert any(text.startswith("builtins dict\n") for text in documentation)
    assert not any(">>> " in line[:8] for text in documentation for line in text.splitlines())
    bodies = [text.partition("\n")[2] for text in documentation]
    assert "".join(bodies).count("Return self==value.") <= 1


def test_installed_python_gives_enough_pairs(made: Path) -> None:
    with made.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["pmi"]) for row in rows]
    assert list(rows[0]) == ["word", "context", "pmi"]
    assert len(rows) >= 100_000
    assert len({row["word"] for row in rows}) >= 3_000
    assert len({(row["word"], row["context"]) for row in rows}) == len(rows)
    assert all(map(math.isfinite, scores))
    assert min(scores) < 0 < max(scores)


def test_related_words_score_higher(made: Path) -> None:
    with made.open(newline="") as file:
        scores = {(row["word"], row["context"]): float(row["pmi"]) for row in csv.DictReader(file)}
    for pair in [("dict", "keys"), ("socket", "address"), ("thread", "lock"), ("file", "open"), ("date", "year")]:
        assert scores[pair] > 0.5, pair
    # Two frequent words of unrelated topics.
    assert scores["class", "bytes"] < 0


def test_file_is_independent_of_hash_seed(made_twice: list[tuple[Path, str]]) -> None:
    (one, printed), (other, _) = made_twice
    assert one.read_bytes() == other.read_bytes()
    assert f"{len(one.read_text().splitlines()) - 1:,} pairs of " in printed


def test_failed_write_keeps_old_file(tmp_path: Path) -> None:
    output = tmp_path / "pairs.csv"
    output.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        make_pairs.write_csv([ScoredPair("caf\u00e9", "bar", 1.0)], output)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.csv"]
    assert output.read_text() == "old"


def test_missing_documentation_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_pairs, "texts", lambda: ["a lock and a thread"])
    assert make_pairs.main(["--output", str(tmp_path / "pairs.csv")]) == 2
    assert "has 0 pairs, fewer than 100,000" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
