"""Conversions of Arrow import pandas in a process that is not prepared, and in no other."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONVERSIONS = """
import sys
import numpy as np
{prepare}
import pyarrow as pa, pyarrow.parquet
assert pa.array(np.arange(3)).to_numpy().tolist() == [0, 1, 2]
assert pa.chunked_array([[1.5], [2.5]]).to_numpy().tolist() == [1.5, 2.5]
assert pa.table({{"a": np.ones(2)}})["a"].to_pylist() == [1.0, 1.0]
print("pandas" in sys.modules)
import pandas
assert pandas.Series([1, 2]).sum() == 3
assert pa.table({{"a": [1, 2]}}).to_pandas()["a"].tolist() == [1, 2]
"""


@pytest.mark.parametrize(
    ("prepare", "imported"), [("", "True"), ("from compat.process import prepare; prepare()", "False")]
)
def test_pandas_is_imported_only_where_nothing_is_prepared(prepare: str, imported: str) -> None:
    script = CONVERSIONS.format(prepare=prepare)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == imported
