"""Lists the benchmarks: `python -m benchmarks`."""

from __future__ import annotations

import ast
from pathlib import Path


def main() -> None:
    """Prints the name and the first docstring line of every runnable module in this package."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name != "__main__.py" and 'if __name__ == "__main__":' in text:
            print(f"{path.stem:<16} {str(ast.get_docstring(ast.parse(text))).splitlines()[0]}")


if __name__ == "__main__":
    main()
