"""Tables on narrow and wide terminals."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline.commands.table import lay_out

HEAD = ("run", "state", "metrics")
ROWS = [("20260101-1", "published", "rmse 0.9012, mae 0.7001"), ("20260102-1", "killed at Trainer, or its machine", "")]


def test_rows_are_aligned_where_they_fit() -> None:
    assert lay_out(HEAD, ROWS, 80) == [
        "run         state                              metrics",
        "20260101-1  published                          rmse 0.9012, mae 0.7001",
        "20260102-1  killed at Trainer, or its machine",
    ]


def test_each_row_is_a_block_where_they_do_not_fit() -> None:
    assert lay_out(HEAD, ROWS, 40) == [
        "20260101-1",
        "  state    published",
        "  metrics  rmse 0.9012, mae 0.7001",
        "20260102-1",
        "  state    killed at Trainer, or its",
        "           machine",
    ]


WORDS = st.lists(st.text("abcé漢-", min_size=1, max_size=12), max_size=9).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5), st.integers(40, 120))
def test_no_word_is_broken_or_lost(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = lay_out(HEAD, rows, width)
    printed = re.split(r"\s+", "\n".join(lines))
    for row in rows:
        for word in " ".join(row).split():
            assert word in printed
    if lines[:1] and lines[0].startswith("run  "):
        assert max(map(cell_len, lines)) <= width
