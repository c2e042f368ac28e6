"""Finds the input files: resolves the path of the pipeline file to files, and reports what it leaves out."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Iterator

from components.pair_example_gen.reading import archives
from errors import InputError
from kindred import advice
from storage.urls import is_object

_GLOB_CHARACTERS = "*?[{"
_HIDDEN = ("_", ".")
_SPEC = re.compile(r"\{(?P<name>SPAN|VERSION|YYYY|MM|DD)(?::(?P<width>\d+))?\}")
_DIGITS = {"YYYY": "4", "MM": "2", "DD": "2"}
_WILDCARD = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]*\]")
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file or folder that matches but is left out, and the reason."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Found:
    """The sorted input files, and what was left out."""

    files: list[str]
    skipped: list[Skipped]


def split_path(path: str) -> tuple[str, str]:
    """Splits a file, directory, glob or span pattern into TFX's (base directory, pattern below it)."""
    if is_object(path):
        return path, ""  # the driver replaces the URL by the path of local copies
    if os.path.isdir(path):
        return glob.escape(path), "**"
    if os.path.isfile(path):
        path = glob.escape(path)
    base, pattern = os.path.split(path)
    while any(character in base for character in _GLOB_CHARACTERS):
        base, tail = os.path.split(base)
        pattern = os.path.join(tail, pattern)
    return base, pattern


def find_files(base: str, pattern: str, span_filled_in: bool = False) -> Found:
    """Returns the files below `base` that match. A folder that matches is read with all its subfolders.

    Files and folders that begin with `_` or `.` and empty files are skipped, as other tools do.

    Args:
      base: base directory.
      pattern: glob pattern below it. `**` matches folders of any depth.
      span_filled_in: whether the driver has filled in a span.

    Raises:
      InputError: no file matches, all files that match are empty, or a folder cannot be listed.
    """
    path = os.path.join(base, pattern)
    found, skipped = [], []
    for match, size in sorted(_entries(path, base, pattern), key=lambda entry: entry[0]):
        if is_left_out(match, base, pattern):
            skipped.append(Skipped(match, "hidden"))
        elif not size:
            skipped.append(Skipped(match, "not a file" if size is None else "empty"))
        else:
            found.append(match)
    if found:
        return Found(found, skipped)
    empty = [skip.path for skip in skipped if skip.reason == "empty"]
    if empty:
        raise InputError(f"data.path: {', '.join(empty[:5])} is empty. Training needs at least one row")
    if pattern == "**":
        problem = "the directory has no files"
    elif any(character in pattern for character in "*?["):
        problem = "no file matches"
    else:
        problem = "no such file"
    hint = ". If spans have leading zeros, write {SPAN:2} with their width" if span_filled_in else ""
    raise InputError(
        f"data.path: {path}: {problem}. Correct data.path in the pipeline file, or {advice.set_data()}{hint}"
    )


def _entries(path: str, base: str, pattern: str) -> Iterator[tuple[str, int | None]]:
    """Yields path and size of what matches, and of the members of archives. The size is None if it is not a file."""
    matches = matches_of(path)
    for match in matches:
        if not is_left_out(match, base, pattern) and archives.is_archive(match):
            yield from archives.members(match)
        else:
            yield match, os.path.getsize(match) if os.path.isfile(match) else None
    inside = None if matches else archives.split(_unescaped(path))
    if inside:
        wanted = re.compile(glob_regex(path) + "(?:/.*)?")
        yield from ((member, size) for member, size in archives.members(inside[0]) if wanted.fullmatch(member))


def matches_of(path: str) -> list[str]:
    """Returns what matches a glob: files, and the files below folders, sorted. Hidden folders are not entered."""
    found: set[str] = set()
    walked: set[str] = set()
    for match in glob.glob(path, recursive=True):
        match = os.path.normpath(match)
        if os.path.isdir(match):
            found.update(_walk(match, walked))
        else:
            found.add(match)
    return sorted(found)


def _walk(folder: str, walked: set[str]) -> Iterator[str]:
    """Yields the files below a folder, each folder once. A link to a folder is followed."""
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in walked:
            folders.clear()
            continue
        walked.add(real)
        yield from (os.path.join(parent, name) for name in (*names, *filter(_is_hidden, folders)))
        folders[:] = [name for name in folders if not _is_hidden(name)]


def _refuse(error: OSError) -> None:
    raise InputError(f"data.path: {error.filename} cannot be listed: {error.strerror}")


def _is_hidden(name: str) -> bool:
    return name.startswith(_HIDDEN)


def _unescaped(path: str) -> str:
    """Returns a path that `glob.escape` has escaped."""
    return re.sub(r"\[(.)\]", r"\1", path)


def is_left_out(path: str, base: str, pattern: str) -> bool:
    """Returns whether a file or one of its folders is hidden, unless the pattern spells that name out."""
    root = os.path.normpath(_unescaped(base))
    spelled = pattern.split("/")
    return any(_is_hidden(part) and part not in spelled for part in os.path.relpath(path, root).split("/"))


def has_span(pattern: str) -> bool:
    """Returns whether the pattern contains a span, a date or a version."""
    return bool(_SPEC.search(pattern))


def any_span(pattern: str) -> str:
    """Returns the pattern with `*` in place of SPAN, YYYY, MM, DD and VERSION."""
    return _SPEC.sub("*", pattern)


def check_span(base: str, pattern: str, files: list[str] | None = None) -> None:
    """Checks a span pattern before the driver selects the span.

    Args:
      base: base directory.
      pattern: pattern below it.
      files: the files that match, if they are known. Otherwise they are looked for.

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
    for file, numbers in _numbers(path, files):
        if numbers is None:
            raise InputError(f"data.path: {path}: {file} has no number in place of the span. Move it elsewhere")


def span_numbers(base: str, pattern: str, files: list[str] | None = None) -> list[dict[str, int]]:
    """Returns the numbers of SPAN, YYYY, MM, DD and VERSION in the path of each file that matches."""
    return [numbers for _, numbers in _numbers(os.path.join(base, pattern), files) if numbers]


def _numbers(path: str, files: list[str] | None) -> list[tuple[str, dict[str, int] | None]]:
    files = matches_of(any_span(path)) if files is None else files
    if not files:
        raise InputError(f"data.path: {path}: no file matches. Correct data.path, or {advice.set_data()}")
    numbered = re.compile(_as_regex(path) + "(?:/.*)?")
    matches = ((file, numbered.fullmatch(file)) for file in files)
    return [(file, match and {name: int(text) for name, text in match.groupdict().items()}) for file, match in matches]


def fill_in(pattern: str, numbers: dict[str, int]) -> str:
    """Returns the pattern with numbers in place of SPAN, YYYY, MM, DD and VERSION."""
    return _SPEC.sub(
        lambda spec: str(numbers[spec["name"]]).zfill(int(spec["width"] or _DIGITS.get(spec["name"], 0))), pattern
    )


def _as_regex(path: str) -> str:
    """Returns a regular expression with a group of digits for each number of the span."""
    parts, end = [], 0
    for match in _SPEC.finditer(path):
        width = match["width"] or _DIGITS.get(match["name"])
        parts += [glob_regex(path[end : match.start()]), rf"(?P<{match['name']}>\d{f'{{{width}}}' if width else '+'})"]
        end = match.end()
    return "".join([*parts, glob_regex(path[end:])])


def glob_regex(text: str) -> str:
    """Returns a glob as a regular expression. A wildcard matches within a folder name, `**` also across folders."""
    parts, end = [], 0
    for match in _WILDCARD.finditer(text):
        parts += [re.escape(text[end : match.start()]), _WILDCARDS.get(match[0], match[0])]
        end = match.end()
    return "".join([*parts, re.escape(text[end:])])
