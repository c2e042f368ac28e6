"""Reads the features of a side into one table, and quarantines rows that break a rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from components.pair_example_gen import quarantine
from components.pair_example_gen.entities import write_table
from components.pair_example_gen.entity_features.layout import (
    ID,
    in_terms_of,
    input_files,
    layout_of,
    reason_of,
    role_of,
)
from components.pair_example_gen.entity_features.values import checked
from components.pair_example_gen.feature_settings import FeatureFiles
from components.pair_example_gen.quarantine import QuarantineWriter
from components.pair_example_gen.reading import chunks
from components.pair_example_gen.rows import QUARANTINE, RawRows, quarantined
from components.pair_example_gen.rules import Faults, check_id
from components.pair_example_gen.settings import IngestSettings
from errors import DataRefused
from trainer.data.examples import TRAIN, Examples
from trainer.entity_features import table as feature_table
from trainer.entity_features.table import Account

_REPEATED = "an earlier row has the same id"


def write(settings: IngestSettings, examples: str, quarantine_folder: str) -> None:
    """Writes the table of features and the account of each side that has a file of features.

    Args:
      settings: section `data`.
      examples: URI of the `Examples`, whose tables of ids are complete.
      quarantine_folder: URI of the quarantine.

    Raises:
      InputError: a file does not match its description.
      DataRefused: more rows are bad than `max_quarantined_fraction` allows.
    """
    for side, given in settings.features.items():
        with in_terms_of(side), QuarantineWriter(quarantine_folder, f"{side}-features") as bad:
            found = pa.concat_tables(
                [feature_table.schema_of(given.columns).empty_table(), *_blocks(side, given, settings, bad)]
            )
        account = _account(found, examples, side, bad.reasons, given)
        _refuse_too_many(side, account, settings, quarantine_folder)
        tf.io.gfile.makedirs(feature_table.table_file(examples, side).rpartition("/")[0])
        write_table(found, feature_table.table_file(examples, side))
        feature_table.write_account(account, examples, side)


def _blocks(side: str, given: FeatureFiles, settings: IngestSettings, bad: QuarantineWriter) -> Iterator[pa.Table]:
    layout, seen = layout_of(given), set[bytes]()
    for number, file in enumerate(input_files(side, given)):
        for chunk in chunks.cut(number, file, layout):
            for rows in chunks.read(chunk, layout):
                yield _check(file, rows, given, settings, seen, bad)


def _check(
    file: str, rows: RawRows, given: FeatureFiles, settings: IngestSettings, seen: set[bytes], bad: QuarantineWriter
) -> pa.Table:
    """Returns the good rows of a block. Adds their ids to `seen`."""
    faults = Faults(len(rows))
    ids = rows.columns[ID]
    check_id(faults, "id", ids, settings.max_id_bytes, given.null_words)
    ids = ids.fill_null(b"").cast(pa.large_binary())
    columns = [
        checked(name, column, rows.columns[role_of(name)], given.null_words, faults)
        for name, column in given.columns.items()
    ]
    faults.mark(_repeated(ids, faults.codes == 0, seen), _REPEATED)
    found = pa.table([ids, *columns], schema=feature_table.schema_of(given.columns))
    if rows.broken.num_rows:
        reasons = [reason_of(reason) for reason in rows.broken["reason"].to_pylist()]
        at = QUARANTINE.get_field_index("reason")
        bad.write(rows.broken.set_column(at, QUARANTINE.field(at), pa.array(reasons, pa.string())))
    if faults.any():
        wrong = np.flatnonzero(faults.codes)
        bad.write(quarantined(file, rows.positions.take(wrong), faults.reasons(wrong), rows.raw(wrong)))
        found = found.take(pa.array(np.flatnonzero(faults.codes == 0)))
    return found


def _repeated(ids: pa.Array, good: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """Returns which good rows have the id of an earlier good row, bool `[n]`."""
    repeated = np.zeros(len(ids), bool)
    for row, name in enumerate(ids.to_pylist()):
        if good[row]:
            repeated[row] = name in seen
            seen.add(name)
    return repeated


def _account(found: pa.Table, examples: str, side: str, reasons: Counter[str], given: FeatureFiles) -> Account:
    entities = Examples(examples).entities(side)
    trained = entities.ids.slice(0, int(np.count_nonzero(entities.counts[TRAIN])))
    described = pc.is_in(trained, value_set=found[feature_table.ID].combine_chunks())
    in_pairs = int(pc.sum(described).as_py() or 0)
    count = found.num_rows
    missing = {name: found[name].null_count / max(count, 1) for name in found.schema.names if name != feature_table.ID}
    bad = sum(reasons.values())
    kinds = {name: str(column.kind) for name, column in given.columns.items()}
    return Account(count + bad, dict(reasons), count, count - in_pairs, len(trained) - in_pairs, missing, kinds)


def _refuse_too_many(side: str, account: Account, settings: IngestSettings, folder: str) -> None:
    if account.entities and account.bad <= settings.max_quarantined_fraction * account.rows:
        return
    section, bound = f"data.{side}_features", settings.max_quarantined_fraction
    allowed = f"data.max_quarantined_fraction allows {bound:.2%}" if account.entities else "no row is left"
    kept = quarantine.keep_apart(folder)
    lines = [
        f"{section}: {account.bad:,} of {account.rows:,} rows are bad, and {allowed}:",
        *quarantine.describe(kept, Counter(account.quarantined)),
        f"All of them are in {kept} (Parquet). Fix the rows, or raise data.max_quarantined_fraction.",
    ]
    raise DataRefused("\n".join(lines))
