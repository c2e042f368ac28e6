"""Finds the files of `--data`, and recognizes spans in a directory."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Iterator

from components.pair_example_gen.files import is_remote
from components.pair_example_gen.reading import archives
from components.pair_example_gen.source import check_span, fill_in, find_files, has_span, span_numbers, split_path
from errors import ConfigError, InputError

_DATE = re.compile(r"(?P<before>.*?)\d{4}-\d\d-\d\d(?P<after>.*)")
_NUMBER = re.compile(r"(?P<before>(?i:span|day|week|month|batch|snapshot)[-_=]?)(?P<number>\d+)(?P<after>.*)")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the pairs are.

    Attributes:
      path: the value of `data.path`, absolute.
      files: the files, or those of the newest span.
      spans: the number of spans. 0 without spans.
    """

    path: str
    files: list[str]
    spans: int = 0


def find_place(data: str) -> Place:
    """Returns the place of `--data`: a file, a directory, a glob, or a pattern of spans.

    Raises:
      ConfigError: it is a URL.
      InputError: there is no file.
    """
    if is_remote(data):
        raise ConfigError(
            f"--data {data}: kindred init reads local files. Download one of the files and use it, then set data.path "
            "to the URL"
        )
    path = os.path.abspath(os.path.expanduser(data))
    if os.path.isdir(path):
        path = next(_patterns(path), path)
    base, pattern = split_path(path)
    if not has_span(pattern):
        if not any(character in path for character in "*?[") and not os.path.exists(path) and not archives.split(path):
            raise InputError(f"--data {data}: no such file or directory")
        return Place(path, find_files(base, pattern).files)
    check_span(base, pattern)
    numbers = span_numbers(base, pattern)
    newest = max(numbers, key=lambda one: [one.get(key, 0) for key in ("SPAN", "YYYY", "MM", "DD", "VERSION")])
    spans = {tuple(value for key, value in one.items() if key != "VERSION") for one in numbers}
    return Place(path, find_files(base, fill_in(pattern, newest), span_filled_in=True).files, len(spans))


def _patterns(folder: str) -> Iterator[str]:
    """Yields the pattern of a directory whose entries are at least two spans and nothing else."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith((".", "_")))
    folders = {os.path.isdir(os.path.join(folder, name)) for name in names}
    if len(names) < 2 or len(folders) != 1:
        return
    for expression, span in ((_DATE, "{{YYYY}}-{{MM}}-{{DD}}"), (_NUMBER, "{{SPAN{}}}")):
        matches = [expression.fullmatch(name) for name in names]
        around = {(match["before"], match["after"]) for match in matches if match}
        if not all(matches) or len(around) != 1:
            continue
        before, after = map(glob.escape, around.pop())
        digits = {len(match["number"]) for match in matches if match} if expression is _NUMBER else set()
        padded = any(match["number"].startswith("0") for match in matches if match) if digits else False
        width = f":{digits.pop()}" if padded and len(digits) == 1 else ""
        yield os.path.join(
            glob.escape(folder), before + span.format(width) + after, *(["*"] if folders == {True} else [])
        )
