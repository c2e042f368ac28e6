"""Downloads MovieLens ratings: `python -m examples.movielens.download [--size 100k|1m] [--output DIR]`.

The archive comes from its publisher, GroupLens Research. The command refuses it unless it has the published MD5 digest.
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

from kindred.invocation import command

DEFAULT_OUTPUT = Path("build/data/movielens")
TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A published archive."""

    url: str
    md5: str
    ratings: str  # the ratings file that a pipeline reads
    most_bytes: int  # maximum size of the archive
    most_extracted_bytes: int  # maximum size of the extracted files
    published_ratings: str | None = None  # the original file, if its separator `::` must be replaced by tabs


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
These data belong to GroupLens Research, University of Minnesota. You may use them for research. You need permission
to redistribute them or to use them commercially. See the README in the archive. Publications cite:
F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions on
Interactive Intelligent Systems 5, 4, Article 19. https://doi.org/10.1145/2827872"""


class DownloadError(Exception):
    """The archive cannot be downloaded, or differs from the published one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Downloads and unpacks an archive. Returns exit code 0, or 2 after printing the reason to stderr."""
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
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="output directory (default: %(default)s)")
    parser.add_argument("--size", choices=sorted(ARCHIVES), default="100k", help="number of ratings (%(default)s)")
    parser.add_argument("--url", help="URL of a mirror, instead of GroupLens")
    parser.add_argument("--md5", help="expected MD5 digest, instead of the published one")
    return parser


def _advice(archive: Archive, error: Exception) -> str:
    return (
        f"download: cannot download {archive.url}: {error}. Nothing was written. If this machine is offline, "
        "download and unpack the archive elsewhere. If you already have a ratings file, run "
        f"`{command('run', '--config', 'examples/movielens/pipeline.yaml', '--data', 'PATH')}`."
    )


def fetch(archive: Archive, output: Path) -> Path:
    """Downloads, checks and unpacks an archive in a staging directory, then renames it.

    Args:
      archive: the archive to download.
      output: the directory to unpack into. A folder from an earlier call is replaced.

    Returns:
      The path of the ratings file.

    Raises:
      DownloadError: the archive is unreachable, too large, truncated or invalid, or has another digest.
      OSError: `output` is not writable.
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
                    raise DownloadError(f"the archive is larger than the {archive.most_bytes:,} bytes that are allowed")
                file.write(chunk)
            announced = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        raise DownloadError(f"the server returned {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise DownloadError(f"the server is unreachable ({getattr(error, 'reason', error)})") from error
    except (http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"the response is invalid ({error!r})") from error
    if announced is not None and received < int(announced):
        raise DownloadError(f"the connection ended after {received:,} of {int(announced):,} bytes")


def _check_digest(archive: Archive, file: Path) -> None:
    digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    if digest != archive.md5.lower():
        raise DownloadError(f"the MD5 digest is {digest}, but the published one is {archive.md5}")


def _extract(archive: Archive, file: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(file) as content:
            members = content.infolist()
            _check_members(archive, members, target)
            for member in members:
                content.extract(member, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(f"the file is not a valid zip archive ({error})") from error
    published = archive.published_ratings or archive.ratings
    if not (target / published).is_file():
        raise DownloadError(f"the archive has no {published}")
    if published != archive.ratings:
        columns = (target / published).read_bytes().replace(b"::", b"\t")
        (target / archive.ratings).write_bytes(columns)


def _check_members(archive: Archive, members: Sequence[zipfile.ZipInfo], target: Path) -> None:
    """Refuses members outside `target`, and archives whose extracted size is too large."""
    root = target.resolve()
    for member in members:
        if not (root / member.filename).resolve().is_relative_to(root):
            raise DownloadError(f"the archive has a file outside its folder: {member.filename!r}")
    if sum(member.file_size for member in members) > archive.most_extracted_bytes:
        raise DownloadError(f"the extracted files are larger than {archive.most_extracted_bytes:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
