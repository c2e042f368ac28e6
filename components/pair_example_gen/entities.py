"""Merges the tables of ids of all shards, and numbers the distinct ids of a side."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from components.pair_example_gen import files
from trainer.data.examples import SPLITS, TRAIN, Entities, opened, vocabulary_order

IDS = pa.large_binary()

# Rows of tables that are gathered before they are merged, at least. The tables of a few shards fit in memory.
_FOLD_ROWS = 1 << 21


def no_entities() -> Entities:
    """Returns the table of no ids."""
    return Entities(pa.array([], IDS), {split: np.zeros(0, np.int64) for split in SPLITS})


def merge(shards: Iterable[tuple[str, Entities]], places: str) -> tuple[Entities, np.ndarray]:
    """Merges the distinct ids of shards.

    An id is hashed a constant number of times on average, because the merged table is hashed again only with at least
    as many new rows.

    Args:
      shards: name and distinct ids of each shard.
      places: a folder. Gets a file for each shard with the places of its ids in the merged table.

    Returns:
      The merged table in the order of codes, and the code of each place, int32.
    """
    found = no_entities()
    group: list[tuple[str, Entities]] = []
    for shard in shards:
        group.append(shard)
        if sum(len(entities) for _, entities in group) >= max(_FOLD_ROWS, len(found)):
            found, group = _add(found, group, places), []
    found = _add(found, group, places)
    order = vocabulary_order(found.ids, found.counts[TRAIN])
    rank = np.empty(len(found), np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    counts = {split: count[order] for split, count in found.counts.items()}
    return Entities(found.ids.take(pa.array(order)), counts), rank


def _add(found: Entities, group: list[tuple[str, Entities]], places: str) -> Entities:
    ids = pa.chunked_array([found.ids, *(entities.ids for _, entities in group)], IDS).combine_chunks()
    encoded = ids.dictionary_encode()
    counts = {}
    for split in SPLITS:
        counts[split] = np.zeros(len(encoded.dictionary), np.int64)
        counts[split][: len(found)] = found.counts[split]
    end = len(found)
    indices = encoded.indices.to_numpy()
    for name, entities in group:
        place = indices[end : end + len(entities)]
        end += len(entities)
        for split in SPLITS:
            # The ids of a shard are distinct, so that no place occurs twice.
            counts[split][place] += entities.counts[split]
        write_column(place, os.path.join(places, f"{name}.arrow"))
    return Entities(encoded.dictionary, counts)


def write_column(values: np.ndarray, path: str, staging: str | None = None) -> None:
    """Writes an array to an Arrow file."""
    write_table(pa.table({"value": values}), path, staging)


def read_column(path: str) -> np.ndarray:
    """Reads the output of `write_column`."""
    return np.asarray(read_table(path)["value"].to_numpy())


def write_table(table: pa.Table, path: str, staging: str | None = None) -> None:
    """Writes a table to an Arrow file, in one batch."""
    with files.writable(path, staging) as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table.combine_chunks())


def read_table(path: str) -> pa.Table:
    """Maps the output of `write_table` into memory."""
    return pa.ipc.open_file(opened(path)).read_all()
