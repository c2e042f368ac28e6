"""Collects the pages of the site: those of docs/, the README, and every file that a page links to.

The copy keeps the paths of the repository, so links work on the site as they do in the repository.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

_LINK = re.compile(r"\]\((?P<to>[^)\s#]+)")
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def collect(repository: Path, folder: Path) -> None:
    """Copies README.md, the pages of docs/, and what they link to, directly or indirectly, into `folder`.

    Raises:
      FileNotFoundError: a page links to a file that does not exist.
    """
    waiting = [repository / "README.md", *sorted((repository / "docs").rglob("*.md"))]
    copied: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in copied:
            continue
        copied.add(path)
        target = folder / path.relative_to(repository)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        if path.suffix == ".md":
            waiting += linked(path)


def linked(page: Path) -> Iterator[Path]:
    """Yields the files that a page links to. A directory stands for its README.md."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in _LINK.finditer(text):
        if not re.match(r"[a-z]+:", link["to"]):
            path = (page.parent / unquote(link["to"])).resolve()
            yield path / "README.md" if path.is_dir() else path
