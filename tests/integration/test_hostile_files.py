"""Hostile input files, each with the result that ingestion must give: no traceback, and every row accounted for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.pair_example_gen.reading import compression
from errors import InputError
from tests.integration.hostile.case import Hostile
from tests.integration.hostile.records import RECORDS
from tests.integration.hostile.storage import STORAGE
from tests.integration.hostile.text import TEXT
from tests.integration.ingesting import ingest, settings

HOSTILE = [*TEXT, *STORAGE, *RECORDS]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_file(hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_BYTES", 1 << 20)
    path = hostile.write(tmp_path)
    wanted = settings(hostile.layout, **hostile.changes)
    if hostile.error is not None:
        with pytest.raises(InputError, match=re.compile(hostile.error, re.DOTALL)) as refusal:
            ingest(path, tmp_path / "out", wanted, inline=True)
        assert str(path) in str(refusal.value)
        return
    found = ingest(path, tmp_path / "out", wanted, inline=True)
    assert [row[:2] for row in found.rows] == sorted(hostile.good)
    places = [row["row"] if row["line"] is None else row["line"] for row in found.bad]
    assert list(zip(places, (row["reason"] for row in found.bad), strict=True)) == hostile.bad
    assert all(row["raw"] or "empty" in row["reason"] for row in found.bad)
    counts = {
        "train": len(found.train),
        "eval": len(found.eval),
        "read": len(found.rows),
        "quarantined": len(found.bad),
        "weightless": 0,
    }
    assert found.properties == counts


def test_there_are_enough() -> None:
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE) >= 60
