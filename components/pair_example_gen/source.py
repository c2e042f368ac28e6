"""Finds the input files: resolves the path of the pipeline file to files and their formats."""

from __future__ import annotations

import glob
import os
import re
from typing import Literal

from components.pair_example_gen import files
from components.pair_example_gen.settings import PairFiles
from errors import InputError

Format = Literal["csv", "tsv", "parquet", "tfrecord"]

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
    """Returns the sorted files below `base` that match. Skips files that begin with `_` or `.`, as other tools do.

    Args:
      base: base directory.
      pattern: glob pattern below it.
      span_filled_in: whether TFX's driver has filled in a span.

    Raises:
      InputError: no file matches.
    """
    path = os.path.join(base, pattern)
    matches = files.matching(path)
    shown = [file for file in matches if not os.path.basename(file).startswith(("_", "."))]
    if shown:
        return shown
    if pattern == "*":
        problem = "the directory has no files"
    elif any(character in pattern for character in "*?["):
        problem = "no file matches"
    else:
        problem = "no such file"
    hint = ". If spans have leading zeros, write {SPAN:2} with their width" if span_filled_in else ""
    raise InputError(f"data.path: {path}: {problem}. Correct data.path in the pipeline file, or set --data PATH{hint}")


def has_span(pattern: str) -> bool:
    """Returns whether the pattern contains a span, a date or a version."""
    return bool(_SPEC.search(pattern))


def check_span(base: str, pattern: str) -> None:
    """Checks a span pattern, because TFX's driver refuses a bad one with a traceback.

    Raises:
      InputError: no file matches, TFX does not know the pattern, or a file has no number in place of the span.
    """
    path = os.path.join(base, pattern)
    names = sorted(match["name"] for match in _SPEC.finditer(path))
    wanted = (["SPAN"], ["SPAN", "VERSION"], ["DD", "MM", "YYYY"], ["DD", "MM", "VERSION", "YYYY"])
    if names not in wanted:
        raise InputError(
            f"data.path: {path}: a pattern needs one {{SPAN}}, or one each of {{YYYY}}, {{MM}} and {{DD}}, "
            "and at most one {VERSION}"
        )
    matches = files.matching(_SPEC.sub("*", path))
    if not matches:
        raise InputError(f"data.path: {path}: no file matches. Correct data.path, or set --data PATH")
    numbered = re.compile(_as_regex(path))
    for file in matches:
        if not numbered.fullmatch(file):
            raise InputError(f"data.path: {path}: {file} has no number in place of the span. Move it elsewhere")


def _as_regex(path: str) -> str:
    """Returns a regular expression: digits for the span, and anything within a folder name for wildcards."""
    parts, end = [], 0
    for match in _SPEC.finditer(path):
        width = match["width"] or _DIGITS.get(match["name"])
        parts += [_glob_regex(path[end : match.start()]), rf"\d{{{width}}}" if width else r"\d+"]
        end = match.end()
    return "".join([*parts, _glob_regex(path[end:])])


def _glob_regex(text: str) -> str:
    return re.escape(text).replace(r"\*", "[^/]*").replace(r"\?", "[^/]").replace(r"\[", "[").replace(r"\]", "]")


def format_of(file: str, layout: PairFiles) -> Format:
    """Returns the format of a file: the configured one, or the one of its suffix (before .gz).

    Raises:
      InputError: the suffix is unknown.
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
            f"data.format: auto supports {known} (each also with .gz), but {file} ends in {suffix or 'no suffix'}. "
            "Set data.format to csv, tsv, parquet or tfrecord, or let data.path match only files of pairs"
        ) from None
