"""Where the pairs are: from the path a user wrote to the files it means."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Literal

from components.errors import InputError
from components.pair_example_gen import files

Format = Literal["csv", "tsv"]

_SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
_GLOB_CHARACTERS = "*?["


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the files are to be read: their format and which columns hold a pair."""

    format: Literal["auto", "csv", "tsv"]
    left: str | int
    right: str | int
    score: str | int

    @property
    def has_header(self) -> bool:
        """Whether the first line names the columns."""
        return isinstance(self.left, str)

    @property
    def columns(self) -> tuple[str | int, str | int, str | int]:
        """The three columns in the order left, right, score."""
        return self.left, self.right, self.score


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what comes out of ingest, apart from the files themselves."""

    layout: Layout
    split_by: Literal["pair", "left"]
    eval_fraction: float
    max_quarantined_fraction: float

    def to_json(self) -> str:
        """JSON that `from_json` reads back; equal settings give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Reads what `to_json` wrote."""
        tree = json.loads(text)
        return cls(**{**tree, "layout": Layout(**tree["layout"])})


def split_path(path: str) -> tuple[str, str]:
    """Splits a file, directory or glob into TFX's (base directory, pattern below it)."""
    if os.path.isdir(path):
        return path, "*"
    base, pattern = os.path.split(path)
    while any(character in base for character in _GLOB_CHARACTERS):
        base, tail = os.path.split(base)
        pattern = os.path.join(tail, pattern)
    return base, pattern


def find_files(base: str, pattern: str) -> list[str]:
    """The files below `base` that match, sorted.

    Raises:
      InputError: there is none.
    """
    path = os.path.join(base, pattern)
    found = files.matching(path)
    if not found:
        what = "no such file" if pattern != "*" else "the directory holds no file"
        raise InputError(f"data.path: {path}: {what}; correct data.path in the pipeline file, or give --data PATH")
    return found


def format_of(file: str, layout: Layout) -> Format:
    """The format of one file: as configured, else by its suffix (before .gz).

    Raises:
      InputError: the suffix is of no known format.
    """
    if layout.format != "auto":
        return layout.format
    suffix = os.path.splitext(file.removesuffix(".gz"))[1].lower()
    try:
        return _SUFFIXES[suffix]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise InputError(
            f"data.format: auto knows {known} (each also .gz), and {file} ends in {suffix or 'no suffix'}; "
            "set data.format to csv or tsv"
        ) from None
