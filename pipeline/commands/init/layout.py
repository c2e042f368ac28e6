"""Decides how the columns of a file are named: by its header, or by numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from components.pair_example_gen.reading.chunks import describe
from components.pair_example_gen.reading.dialect import DELIMITERS
from components.pair_example_gen.settings import PairFiles
from components.pair_example_gen.text_files import Column
from errors import InputError
from pipeline.commands.init.facts import Facts
from pipeline.commands.init.propose import has_known_name
from pipeline.commands.init.sample import Sample


@dataclasses.dataclass(frozen=True)
class Table:
    """A file of pairs, with the facts of its columns by their name, or by their number if there is no usable header.

    Attributes:
      sample: the first rows.
      facts: of each column.
      names: the name of each column, or an empty text without a header.
      settings: keys of section `data` without which the file cannot be read.
    """

    sample: Sample
    facts: Mapping[Column, Facts]
    names: Mapping[Column, str]
    settings: dict[str, Any]


def lay_out(sample: Sample) -> Table:
    """Returns the table of a sample."""
    by_column = {column: Facts.of(values) for column, values in sample.columns.items()}
    if not sample.first:
        return Table(sample, by_column, {column: str(column) for column in by_column}, sample.settings)
    if not _is_header(sample.first, by_column):
        whole = sample.with_first()
        by_column = {column: Facts.of(values) for column, values in whole.columns.items()}
        return Table(whole, by_column, dict.fromkeys(by_column, ""), sample.settings | {"header": False})
    usable = all(map(_is_usable, sample.first)) and len(set(sample.first)) == len(sample.first)
    if not usable:
        return Table(sample, by_column, dict(enumerate(sample.first)), sample.settings | {"header": True})
    named: dict[Column, Facts] = dict(zip(sample.first, by_column.values(), strict=True))
    return Table(sample, named, {name: str(name) for name in named}, sample.settings)


def settings_for(table: Table, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Returns the keys of section `data` with which PairExampleGen reads the file as the sample was read.

    Args:
      table: the file.
      columns: the column of each role.

    Raises:
      InputError: it cannot be read so.
    """
    if table.sample.head is None or table.sample.head.dialect is None:
        return table.settings
    dialect = table.sample.head.dialect
    names = {value: name for name, value in DELIMITERS.items()}
    explicit = {"delimiter": names.get(dialect.delimiter, dialect.delimiter.decode(errors="replace"))}
    for settings in (table.settings, table.settings | explicit):
        layout = PairFiles.model_validate({"path": table.sample.file, "columns": columns, **settings})
        try:
            found = describe(table.sample.file, layout).head
        except InputError:
            continue
        if found and found.dialect and found.dialect.delimiter == dialect.delimiter:
            return settings
    raise InputError(
        f"data.path: {table.sample.file}: the columns {', '.join(map(repr, columns.values()))} are not read as the "
        "first rows suggest. Write the pipeline file with data.delimiter and data.header (docs/input.md)"
    )


def _is_header(first: tuple[str, ...], facts: Mapping[Column, Facts]) -> bool:
    """Returns whether the first record names the columns: it has no number, and is unlike the values or well-known."""
    if any(_is_number(name) for name in first) or len({*first}) < len(first):
        return False
    differs = any(
        one.numeric or one.is_time or (one.has_digits and not any(map(str.isdigit, name)))
        for one, name in zip(facts.values(), first, strict=True)
    )
    return differs or has_known_name(first)


def _is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def _is_usable(name: str) -> bool:
    return bool(name) and "\ufffd" not in name
