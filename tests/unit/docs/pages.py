"""The pages of the documentation, and their prose.

python -m tests.unit.docs.pages      # prints the semicolons per 1,000 words of prose, page by page
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_FOLDERS = ("docs", "components", "examples", "schemas", "deploy", "benchmarks", "tests")

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```(?:console|bash|sh)?\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")
_NOT_PROSE = re.compile(r"<!--.*?-->|`[^`]*`|(?<=\])\([^)]*\)|&[a-z]+;|<https?:[^>]*>", re.DOTALL)
_WORD = re.compile(r"\w[\w'\u2019-]*")


def pages() -> list[Path]:
    """Every Markdown page of the repository, sorted."""
    below = (path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.md"))
    return sorted([*ROOT.glob("*.md"), *below])


def shell_blocks(text: str) -> list[str]:
    """Returns the fenced shell blocks of a page: those without a language, `console`, `bash` and `sh`."""
    return [block["code"] for block in _SHELL.finditer(text)]


def prose(text: str) -> str:
    """Returns `text` without code blocks, code spans, comments and addresses."""
    return _NOT_PROSE.sub(" ", _INDENTED.sub("", _FENCE.sub("", text)))


def semicolons_and_words(text: str) -> tuple[int, int]:
    """Returns the number of semicolons and of words in the prose of a page."""
    plain = prose(text)
    return plain.count(";"), len(_WORD.findall(plain))


def per_thousand(counts: Iterable[tuple[int, int]]) -> float:
    """Returns the semicolons per 1,000 words of all pages together."""
    semicolons, words = map(sum, zip(*counts, strict=True))
    return 1000 * semicolons / words


def main() -> None:
    """Prints a line for each page that has a semicolon, and the total."""
    counted = {path: semicolons_and_words(path.read_text(encoding="utf-8")) for path in pages()}
    for path, (semicolons, words) in counted.items():
        if semicolons:
            print(f"{semicolons:4} in {words:6,} words  {path.relative_to(ROOT)}")
    print(f"{per_thousand(counted.values()):.2f} semicolons per 1,000 words on {len(counted)} pages")


if __name__ == "__main__":
    main()
