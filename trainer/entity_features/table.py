"""The table of features of a side, in an `Examples` artifact: `features/left.arrow` and `features/right.arrow`."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from trainer.data.examples import SIDES, opened
from trainer.entity_features.settings import FeatureColumn, FeatureColumns

ID = "id"


def type_of(column: FeatureColumn) -> pa.DataType:
    """Returns the Arrow type of the values of a feature."""
    if column.kind == "number":
        return pa.float32()
    return pa.large_list(pa.large_binary()) if column.kind == "tags" else pa.large_binary()


def schema_of(columns: FeatureColumns) -> pa.Schema:
    """Returns the columns of a table: `id`, then each feature. Missing values are null."""
    return pa.schema([(ID, pa.large_binary()), *((name, type_of(column)) for name, column in columns.items())])


def table_file(examples: str, side: str) -> str:
    """Returns the path of the table of `left` or `right`."""
    return os.path.join(examples, "features", f"{side}.arrow")


def account_file(examples: str, side: str) -> str:
    """Returns the path of the account of the rows of `left` or `right`."""
    return os.path.join(examples, "features", f"{side}.json")


def read_table(examples: str, side: str) -> pa.Table | None:
    """Maps the table of a side into memory. Returns None for a side without features."""
    path = table_file(examples, side)
    return pa.ipc.open_file(opened(path)).read_all().combine_chunks() if tf.io.gfile.exists(path) else None


def inputs_of(examples: str, side: str, ids: pa.Array) -> dict[str, list[Any]]:
    """Returns the features of entities as inputs of the published model. There are none for a side without features.

    Args:
      examples: URI of the `Examples`.
      side: left or right.
      ids: large_binary `[n]`.

    Returns:
      By name of the input, such as `right_genres`: a text for a category or a text, a list of texts of equal length for
        tags, a float for a number. Missing values are empty texts, and 0.
    """
    table = read_table(examples, side)
    if table is None:
        return {}
    rows = pc.index_in(ids, value_set=table[ID].combine_chunks())
    found = table.take(rows)
    return {f"{side}_{name}": _values(found[name].combine_chunks()) for name in table.schema.names if name != ID}


def _values(column: pa.Array) -> list[Any]:
    if not pa.types.is_large_list(column.type):
        return list(column.fill_null(0.0 if pa.types.is_floating(column.type) else b"").to_pylist())
    lists = [values or [] for values in column.to_pylist()]
    most = max((*map(len, lists), 1))
    return [values + [b""] * (most - len(values)) for values in lists]


@dataclasses.dataclass(frozen=True)
class Account:
    """What became of the rows of the files of features of a side.

    Attributes:
      rows: the number of rows.
      quarantined: the number of rows for each reason.
      entities: the number of entities with a row.
      unseen: how many of them are in no pair of the train split.
      without: the number of entities in pairs of the train split that have no row.
      missing: the share of entities without a value, by feature.
      kinds: what each feature holds.
    """

    rows: int
    quarantined: dict[str, int]
    entities: int
    unseen: int
    without: int
    missing: dict[str, float]
    kinds: dict[str, str]

    @property
    def bad(self) -> int:
        """The number of quarantined rows."""
        return sum(self.quarantined.values())

    def describe(self) -> str:
        """Returns the account as a phrase for people."""
        words = [f"{self.entities:,} entities"]
        words += [f"{self.unseen:,} of them in no pair of train"] if self.unseen else []
        words += [f"{self.without:,} entities of pairs have none"] if self.without else []
        words += [f"{self.bad:,} rows quarantined"] if self.bad else []
        return ", ".join(words)


def write_account(account: Account, examples: str, side: str) -> None:
    """Writes the account next to the table."""
    with tf.io.gfile.GFile(account_file(examples, side), "w") as out:
        json.dump(dataclasses.asdict(account), out, indent=1)


def read_account(examples: str, side: str) -> Account | None:
    """Reads the account of a side. Returns None for a side without features."""
    path = account_file(examples, side)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as source:
        content: dict[str, Any] = json.load(source)
    return Account(**content)


def read_accounts(examples: str) -> dict[str, Account]:
    """Reads the accounts of the sides that have features, by side."""
    found = ((side, read_account(examples, side)) for side in SIDES)
    return {side: account for side, account in found if account is not None}


def kinds_of(examples: str, side: str) -> dict[str, str]:
    """Returns what each feature of a side holds, by name."""
    account = read_account(examples, side)
    return account.kinds if account else {}
