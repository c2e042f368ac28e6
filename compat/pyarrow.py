"""Arrow: conversions to NumPy without an import of pandas.

Versions: any. Arrow works without pandas, and asks for it once in each process.

Reason: the first conversion between Arrow and NumPy imports pandas, to find out whether values are of its types. That
takes 0.4 s. No process that is prepared has data frames.

Upstream: `_pandas_api._check_import` in `pyarrow/pandas-shim.pxi`. There is no option.

If Arrow asks in another way, pandas is imported as before. `pyarrow.Table.to_pandas` imports pandas when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Refuses to import pandas. Compiled code takes None in `sys.modules` for the module itself."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is hidden", name=fullname)


def import_quickly(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `pyarrow`."""
    execute()
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        module.array([0.0]).to_numpy()
    finally:
        sys.meta_path.remove(finder)
