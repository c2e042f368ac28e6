"""Takes docs/report.png, the top and the map of a report, or docs/index.png, the page of a root, in the browser.

make run-local && .venv/bin/python -m tests.report_picture build/word-pairs/runs/RUN/report.html docs/report.png
.venv/bin/python -m tests.report_picture build/films/index.html docs/index.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser import find_chromium, open_browser

WIDTH, HEIGHT = 1120, 1340
INDEX_HEIGHT = 720
_ONLY_THE_MAP = """
for (const section of document.querySelectorAll('main section'))
  if (!section.querySelector('#embedding-map')) section.remove();
document.querySelector('nav').remove();
document.querySelector('.columns').style.display = 'block';
document.getElementById('map-search').focus();
"""


def take(report: Path, picture: Path, entity: str) -> None:
    """Writes the picture of a report whose map shows `entity`."""
    with tempfile.TemporaryDirectory() as folder, open_browser(Path(folder)) as page:
        page.show_as(WIDTH, HEIGHT)
        page.open(report)
        page.run(_ONLY_THE_MAP)
        page.type(entity)
        page.press("Enter", "\r")
        page.run("window.scrollTo(0, 0)")
        page.settle()
        page.screenshot(picture)


def take_index(index: Path, picture: Path) -> None:
    """Writes the picture of the top of an index."""
    with tempfile.TemporaryDirectory() as folder, open_browser(Path(folder)) as page:
        page.show_as(WIDTH, INDEX_HEIGHT)
        page.open(index)
        page.screenshot(picture)


def main(arguments: list[str]) -> int:
    """Takes the picture. Returns the exit code."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if find_chromium() is None:
        print("Chromium is not installed. On Debian, run `apt-get install chromium`.", file=sys.stderr)
        return 2
    source, picture = map(Path, arguments)
    if source.name == "index.html":
        take_index(source, picture)
    else:
        take(source, picture, "thread")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
