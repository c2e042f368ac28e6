"""The command that fetches MovieLens ratings: `python -m examples.movielens.download [--size 100k|1m] [--output DIR]`.

The archive comes from its publisher, GroupLens Research, and is kept only if its MD5 digest is the published one.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

DEFAULT_OUTPUT = Path("build/data/movielens")
TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A published archive."""

    url: str
    md5: str
    ratings: str  # the file of it that a pipeline reads
    most_bytes: int  # of the archive
    most_extracted_bytes: int
    published_ratings: str | None = None  # where the publisher's file has `::` between columns: rewritten with tabs


ARCHIVES = {
    "100k": Archive(
        url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        md5="0e33842e24a9c977be4e0107933c0723",
        ratings="ml-100k/u.data",
        most_bytes=10_000_000,
        most_extracted_bytes=50_000_000,
    ),
    "1m": Archive(
        url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        md5="c4d9eecfca2ab87c1945afe126590906",
        ratings="ml-1m/ratings.tsv",
        published_ratings="ml-1m/ratings.dat",
        most_bytes=20_000_000,
        most_extracted_bytes=100_000_000,
    ),
}

NOTICE = """\
These data belong to GroupLens Research, University of Minnesota. They may be used for research, not for revenue
without permission, and not passed on without it: read the README in the archive. Publications cite:
F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions on
Interactive Intelligent Systems 5, 4, Article 19. https://doi.org/10.1145/2827872"""


class DownloadError(Exception):
    """The archive could not be had, or is not what its publisher describes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetches and unpacks an archive; returns the exit code: 0, or 2 with the reason on stderr."""
    options = _parser().parse_args(arguments)
    published = ARCHIVES[options.size]
    archive = replace(published, url=options.url or published.url, md5=options.md5 or published.md5)
    try:
        ratings = fetch(archive, options.output)
    except (DownloadError, OSError) as error:
        print(_advice(archive, error), file=sys.stderr)
        return 2
    print(f"{ratings}\n\n{NOTICE}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.movielens.download", description=__doc__)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="the folder to unpack into (%(default)s)")
    parser.add_argument("--size", choices=sorted(ARCHIVES), default="100k", help="how many ratings (%(default)s)")
    parser.add_argument("--url", help="a mirror of the archive, instead of GroupLens's own address")
    parser.add_argument("--md5", help="the digest that the archive must have, instead of the published one")
    return parser


def _advice(archive: Archive, error: Exception) -> str:
    return (
        f"download: {archive.url} could not be fetched: {error}. Nothing was written. If this machine has no internet, "
        "fetch the archive elsewhere and unpack it; a ratings file that is already here needs no download: "
        "`kindred run --config examples/movielens/pipeline.yaml --data PATH` reads it from PATH."
    )


def fetch(archive: Archive, output: Path) -> Path:
    """Downloads, checks and unpacks `archive` under `output`: whole, or not at all. Returns the ratings file.

    A folder of the same name that an earlier call left is replaced.

    Raises:
      DownloadError: unreachable, too large, cut short, another digest, or an archive that is not as described.
      OSError: `output` cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".download-") as folder:
        staging = Path(folder)
        _download(archive, staging / "archive.zip")
        _check_digest(archive, staging / "archive.zip")
        _extract(archive, staging / "archive.zip", staging / "files")
        top = PurePosixPath(archive.ratings).parts[0]
        if (output / top).exists():
            (output / top).rename(staging / "replaced")
        (staging / "files" / top).rename(output / top)
    return output / archive.ratings


def _download(archive: Archive, target: Path) -> None:
    try:
        with urllib.request.urlopen(archive.url, timeout=TIMEOUT_SECONDS) as answer, target.open("wb") as file:
            received = 0
            while chunk := answer.read(CHUNK_BYTES):
                received += len(chunk)
                if received > archive.most_bytes:
                    raise DownloadError(f"the archive is larger than the {archive.most_bytes:,} bytes expected at most")
                file.write(chunk)
            announced = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        raise DownloadError(f"the server answered {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise DownloadError(f"the server cannot be reached ({getattr(error, 'reason', error)})") from error
    except (http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"the answer makes no sense ({error!r})") from error
    if announced is not None and received < int(announced):
        raise DownloadError(f"the connection ended after {received:,} of {int(announced):,} bytes")


def _check_digest(archive: Archive, file: Path) -> None:
    digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    if digest != archive.md5.lower():
        raise DownloadError(f"its MD5 digest is {digest}, the published one is {archive.md5}")


def _extract(archive: Archive, file: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(file) as content:
            members = content.infolist()
            _check_members(archive, members, target)
            for member in members:
                content.extract(member, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"it is not a sound zip archive ({error})") from error
    published = archive.published_ratings or archive.ratings
    if not (target / published).is_file():
        raise DownloadError(f"the archive holds no {published}")
    if published != archive.ratings:
        columns = (target / published).read_bytes().replace(b"::", b"\t")
        (target / archive.ratings).write_bytes(columns)


def _check_members(archive: Archive, members: Sequence[zipfile.ZipInfo], target: Path) -> None:
    """Refuses a member that would land outside `target`, and an archive that unpacks to more than it should."""
    root = target.resolve()
    for member in members:
        if not (root / member.filename).resolve().is_relative_to(root):
            raise DownloadError(f"the archive holds a file that would land outside the folder: {member.filename!r}")
    if sum(member.file_size for member in members) > archive.most_extracted_bytes:
        raise DownloadError(f"the archive unpacks to more than {archive.most_extracted_bytes:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
