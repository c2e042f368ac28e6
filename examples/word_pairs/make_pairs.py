"""Generates the data of this example: `python -m examples.word_pairs.make_pairs [--output FILE]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from examples.word_pairs.cooccurrence import ScoredPair, scored_pairs
from examples.word_pairs.documentation import texts

DEFAULT_OUTPUT = Path("build/data/word_pairs/pairs.csv")
HEADER = "word,context,pmi"
FEWEST_PAIRS = 100_000


class TooLittleDocumentation(Exception):
    """The documentation has too few pairs, because this Python has no source files of its standard library."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the file. Returns exit code 0, or 2 after printing the reason to stderr."""
    parser = argparse.ArgumentParser(prog="python -m examples.word_pairs.make_pairs", description=__doc__)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="output CSV file (default: %(default)s)")
    output: Path = parser.parse_args(arguments).output
    started = time.monotonic()
    try:
        pairs = make_pairs()
        write_csv(pairs, output)
    except (OSError, TooLittleDocumentation) as error:
        print(f"make_pairs: {error}", file=sys.stderr)
        return 2
    words = len({pair.word for pair in pairs})
    contexts = len({pair.context for pair in pairs})
    seconds = time.monotonic() - started
    print(f"{output}: {len(pairs):,} pairs of {words:,} words and {contexts:,} context words, in {seconds:.1f} s")
    return 0


def make_pairs() -> list[ScoredPair]:
    """Returns the scored pairs of the documentation of this Python.

    Raises:
      TooLittleDocumentation: fewer than `FEWEST_PAIRS` pairs were found.
    """
    pairs = scored_pairs(texts())
    if len(pairs) < FEWEST_PAIRS:
        raise TooLittleDocumentation(
            f"the documentation of {sys.executable} has {len(pairs):,} pairs, fewer than {FEWEST_PAIRS:,}. "
            "Its standard library may be installed without source files. Use another Python 3.10 to 3.13."
        )
    return pairs


def write_csv(pairs: Sequence[ScoredPair], output: Path) -> None:
    """Writes the pairs to a temporary file and renames it to `output`, so that a reader never sees a partial file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with open(handle, "w", encoding="ascii", newline="\n") as file:
            file.write(f"{HEADER}\n")
            file.writelines(f"{pair.word},{pair.context},{pair.pmi:.4f}\n" for pair in pairs)
        os.chmod(staged, 0o644)
        os.replace(staged, output)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main())
