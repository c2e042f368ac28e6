"""The documentation uses full stops instead of semicolons."""

from __future__ import annotations

import pytest

from tests.unit.docs.pages import pages, per_thousand, semicolons_and_words

# httpx has 0.2 and kedro 0.4.
MOST = 1.0


def test_semicolons_are_rare() -> None:
    counts = [semicolons_and_words(path.read_text(encoding="utf-8")) for path in pages()]
    assert per_thousand(counts) <= MOST, "python -m tests.unit.docs.pages lists the pages"


@pytest.mark.parametrize(
    ("text", "semicolons", "words"),
    [
        ("One; two.", 1, 2),
        ("A `code; span` and [a link](x;y.md).", 0, 4),
        ("Before\n\n```\na; b; c\n```\n\nafter; all", 1, 3),
        ("Before\n\n    a; b\n    c; d\n\nafter", 0, 2),
        ("| a; b | c |\n|---|---|\n", 1, 3),
        ("<!-- a; b --> word &amp; word", 0, 2),
    ],
)
def test_only_prose_counts(text: str, semicolons: int, words: int) -> None:
    assert semicolons_and_words(text) == (semicolons, words)
