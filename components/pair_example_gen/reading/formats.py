"""The format of each input file."""

from __future__ import annotations

import os
import re
from typing import Literal

from components.pair_example_gen.reading.compression import without_suffix
from components.pair_example_gen.reading.foreign import is_parquet
from components.pair_example_gen.settings import PairFiles
from errors import InputError

Format = Literal["csv", "tsv", "jsonl", "adjacency", "parquet", "tfrecord"]

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".data": "csv",
    ".edges": "csv",
    ".edgelist": "csv",
    "": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
_SHARD = re.compile(r"-\d+-of-\d+$")


def format_of(file: str, layout: PairFiles) -> Format:
    """Returns the format of a file: the configured one, Parquet by its first bytes, or the one of its suffix.

    Raises:
      InputError: the suffix is unknown, or the content is of another format.
    """
    parquet = is_parquet(file)
    if layout.format not in ("auto", "parquet") and parquet:
        raise InputError(f"data.format: {file} is Parquet, not {layout.format}. Set data.format to parquet or auto")
    if layout.format != "auto":
        return layout.format
    if parquet:
        return "parquet"
    name = _SHARD.sub("", without_suffix(file))
    suffix = os.path.splitext(name)[1].lower()
    try:
        return _SUFFIXES[suffix]
    except KeyError:
        known = ", ".join(filter(None, _SUFFIXES))
        raise InputError(
            f"data.format: auto supports {known} (each also compressed), but {file} ends in {suffix}. "
            "Set data.format to csv, tsv, jsonl, adjacency, parquet or tfrecord, or let data.path match only files of "
            "pairs"
        ) from None
