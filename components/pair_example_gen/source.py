"""Where the pairs are and what they look like: from what a user wrote to the files it means."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import re
from typing import Any, Literal

from components.pair_example_gen import files
from errors import InputError

Format = Literal["csv", "tsv", "parquet", "tfrecord"]
Column = str | int

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
_SHARD = re.compile(r"-\d+-of-\d+$")
_GLOB_CHARACTERS = "*?[{"
_SPEC = re.compile(r"\{(?P<name>SPAN|VERSION|YYYY|MM|DD)(?::(?P<width>\d+))?\}")
_DIGITS = {"YYYY": "4", "MM": "2", "DD": "2"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the files are to be read: their format and which columns hold a pair; without a score, a positive one.

    `quoting` says whether a field of CSV or TSV may stand in quotation marks; `auto` means in CSV only, as a quotation
    mark may well be a word of a TSV file.
    """

    format: Literal["auto", "csv", "tsv", "parquet", "tfrecord"]
    left: Column
    right: Column
    score: Column | None = None
    weight: Column | None = None
    time: Column | None = None
    quoting: Literal["auto", "double", "none"] = "auto"

    @property
    def has_header(self) -> bool:
        """Whether the first line names the columns."""
        return isinstance(self.left, str)

    @property
    def columns(self) -> dict[str, Column]:
        """The columns by what they are: left, right, and score, weight and time where there are any."""
        roles: dict[str, Column | None] = {
            "left": self.left, "right": self.right, "score": self.score, "weight": self.weight, "time": self.time
        }  # fmt: skip
        return {role: column for role, column in roles.items() if column is not None}

    def delimiter(self, format_: Format) -> str:
        """What separates the fields of a line."""
        return "," if format_ == "csv" else "\t"

    def is_quoted(self, format_: Format) -> bool:
        """Whether fields may stand in quotation marks."""
        return self.quoting == "double" or (self.quoting == "auto" and format_ == "csv")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what comes out of ingest, apart from the files themselves."""

    layout: Layout
    split_by: Literal["pair", "left", "time"]
    eval_fraction: float
    max_quarantined_fraction: float
    duplicates: Literal["keep", "last", "mean", "refuse"] = "keep"
    max_id_bytes: int = 1024
    score_min: float | None = None
    score_max: float | None = None

    @property
    def sees_pairs_whole(self) -> bool:
        """Whether all rows of a pair must be seen together before any of them can be written."""
        return self.duplicates != "keep" or self.split_by == "time"

    def to_json(self) -> str:
        """JSON that `from_json` reads back; equal settings give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Reads what `to_json` wrote."""
        tree: dict[str, Any] = json.loads(text)
        return cls(**{**tree, "layout": Layout(**tree["layout"])})


def split_path(path: str) -> tuple[str, str]:
    """Splits a file, directory, glob or span pattern into TFX's (base directory, pattern below it)."""
    if os.path.isdir(path):
        return glob.escape(path), "*"
    if os.path.isfile(path):
        path = glob.escape(path)
    base, pattern = os.path.split(path)
    while any(character in base for character in _GLOB_CHARACTERS):
        base, tail = os.path.split(base)
        pattern = os.path.join(tail, pattern)
    return base, pattern


def find_files(base: str, pattern: str, span_filled_in: bool = False) -> list[str]:
    """The files below `base` that match, sorted; those that begin with `_` or `.` are other tools' notes.

    `span_filled_in`: the pattern is what TFX's driver made of one with a span, which it found to be there.

    Raises:
      InputError: there is none.
    """
    path = os.path.join(base, pattern)
    found = files.matching(path)
    shown = [file for file in found if not os.path.basename(file).startswith(("_", "."))]
    if shown:
        return shown
    if pattern == "*":
        what = "the directory holds no file"
    elif any(character in pattern for character in "*?["):
        what = "no file matches"
    else:
        what = "no such file"
    hint = "; a span with leading zeros is written {SPAN:2}, with its width" if span_filled_in else ""
    raise InputError(f"data.path: {path}: {what}; correct data.path in the pipeline file, or give --data PATH{hint}")


def has_span(pattern: str) -> bool:
    """Whether TFX's driver will fill in a span, a date or a version."""
    return bool(_SPEC.search(pattern))


def check_span(base: str, pattern: str) -> None:
    """Refuses in a sentence what TFX's driver would refuse with a traceback.

    Raises:
      InputError: no file matches, the pattern is not one that TFX knows, or a file has no number where the span goes.
    """
    path = os.path.join(base, pattern)
    names = sorted(match["name"] for match in _SPEC.finditer(path))
    wanted = (["SPAN"], ["SPAN", "VERSION"], ["DD", "MM", "YYYY"], ["DD", "MM", "VERSION", "YYYY"])
    if names not in wanted:
        raise InputError(
            f"data.path: {path}: a pattern has one {{SPAN}}, or one each of {{YYYY}}, {{MM}} and {{DD}}, "
            "and with either at most one {VERSION}"
        )
    found = files.matching(_SPEC.sub("*", path))
    if not found:
        raise InputError(f"data.path: {path}: no file matches; correct data.path, or give --data PATH")
    numbered = re.compile(_as_regex(path))
    for file in found:
        if not numbered.fullmatch(file):
            raise InputError(f"data.path: {path}: {file} has no number where the pattern has one; move it away")


def _as_regex(path: str) -> str:
    """The pattern with digits where its numbers go, and anything within a folder's name for its wildcards."""
    parts, end = [], 0
    for match in _SPEC.finditer(path):
        width = match["width"] or _DIGITS.get(match["name"])
        parts += [_glob_regex(path[end : match.start()]), rf"\d{{{width}}}" if width else r"\d+"]
        end = match.end()
    return "".join([*parts, _glob_regex(path[end:])])


def _glob_regex(text: str) -> str:
    return re.escape(text).replace(r"\*", "[^/]*").replace(r"\?", "[^/]").replace(r"\[", "[").replace(r"\]", "]")


def format_of(file: str, layout: Layout) -> Format:
    """The format of one file: as configured, else by its suffix (before .gz).

    Raises:
      InputError: the suffix is of no known format.
    """
    if layout.format != "auto":
        return layout.format
    name = _SHARD.sub("", file.removesuffix(".gz"))
    suffix = os.path.splitext(name)[1].lower()
    try:
        return _SUFFIXES[suffix]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise InputError(
            f"data.format: auto knows {known} (each also .gz), and {file} ends in {suffix or 'no suffix'}; "
            "set data.format to csv, tsv, parquet or tfrecord, or let data.path match the files of pairs only"
        ) from None
