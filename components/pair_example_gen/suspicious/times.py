"""Times in different units, found in the Parquet files of the splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet

from components.pair_example_gen import files
from components.pair_example_gen.rules import TIME
from components.pair_example_gen.shards import split_directory
from components.pair_example_gen.suspicious.warning import DataWarning
from trainer.data.examples import SPLITS

_COLUMN = "data.columns.time"
# Since 1970, a time between 1973 and 2100 has about this many seconds, milliseconds, microseconds and nanoseconds.
_FIRST, _LAST = 1e8, 4.2e9
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


def in_times(examples_uri: str) -> DataWarning | None:
    """Returns the warning about times in more than one unit."""
    rows: Counter[str] = Counter()
    some: dict[str, float] = {}
    for times in _times(examples_uri):
        for unit, factor in _UNITS.items():
            of_unit = times[(times >= _FIRST * factor) & (times < _LAST * factor)]
            if len(of_unit):
                rows[unit] += len(of_unit)
                some.setdefault(unit, float(of_unit[0]))
    if len(rows) < 2:
        return None
    found = ", ".join(f"{count:,} rows in {unit} (such as {some[unit]:.0f})" for unit, count in rows.most_common())
    rarer = sum(rows.values()) - max(rows.values())
    text = f"the times seem to have different units: {found}. Use one unit, because the order of the rows depends on it"
    return DataWarning("time_units", _COLUMN, rarer, [f"{time:.0f}" for time in some.values()], text)


def _times(examples_uri: str) -> Iterator[np.ndarray]:
    for split in SPLITS:
        for path in files.matching(os.path.join(split_directory(examples_uri, split), "*")):
            with files.random_access(path) as source:
                for batch in pyarrow.parquet.ParquetFile(source).iter_batches(columns=[TIME]):
                    yield batch.column(0).flatten().to_numpy()
