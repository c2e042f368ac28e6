"""NumPy: imported without the compiler of Fortran modules, which executes on demand.

Versions: numpy 2. Other versions import it as before, which is slower.

Reason: SciPy imports all public names of NumPy, which include `f2py`. Its tables of Fortran grammar take a tenth of a
second. Nothing here compiles Fortran.

Upstream: `clone_module` in `scipy/_lib/array_api_compat/_internal.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from compat.imports import execute_later, is_version

TESTED = "2."


def import_on_demand(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `numpy.f2py`."""
    if is_version("numpy", TESTED):
        execute_later(module, execute)
    else:
        execute()
