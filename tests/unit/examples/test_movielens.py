"""The MovieLens download from a local server: valid, wrong, truncated, malicious and missing archives."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from examples.movielens import download

RATINGS = b"1\t10\t5\t881250949\n2\t10\t3\t881250950\n"


class _Handler(BaseHTTPRequestHandler):
    """Serves `bodies`. For a path that ends in `/cut`, Content-Length is larger than the body."""

    bodies: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        body = self.bodies.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"") + (1000 if self.path.endswith("/cut") else 0)))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server defines the name
        """Logs nothing, to keep the output of the test readable."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield listening
    listening.shutdown()
    thread.join()
    listening.server_close()


def _zip(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return packed.getvalue()


def _run(server: ThreadingHTTPServer, path: str, body: bytes, output: Path, *more: str) -> int:
    _Handler.bodies = {path: body}
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    return download.main(["--url", url, "--md5", hashlib.md5(body).hexdigest(), "--output", str(output), *more])


def _refused(capsys: pytest.CaptureFixture[str], output: Path) -> str:
    """Returns the message of a refused download. Checks that it is one line and that no file was written."""
    message = capsys.readouterr().err
    assert not list(output.rglob("*"))
    assert len(message.strip().splitlines()) == 1
    assert "kindred run --config examples/movielens/pipeline.yaml --data PATH" in message
    return message


def test_valid_archive_is_unpacked(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = _zip(**{"ml-100k/README": b"read me", "ml-100k/u.data": RATINGS})
    assert _run(server, "/ml-100k.zip", body, tmp_path) == 0
    assert (tmp_path / "ml-100k" / "u.data").read_bytes() == RATINGS
    assert [path.name for path in tmp_path.iterdir()] == ["ml-100k"]
    printed = capsys.readouterr().out
    assert str(tmp_path / "ml-100k" / "u.data") in printed
    assert "GroupLens" in printed
    assert "10.1145/2827872" in printed


def test_earlier_copy_is_replaced(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "stale").write_text("old")
    assert _run(server, "/a.zip", _zip(**{"ml-100k/u.data": RATINGS}), tmp_path) == 0
    assert [path.name for path in (tmp_path / "ml-100k").iterdir()] == ["u.data"]


def test_larger_archive_gets_tabs(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    body = _zip(**{"ml-1m/ratings.dat": RATINGS.replace(b"\t", b"::")})
    assert _run(server, "/a.zip", body, tmp_path, "--size", "1m") == 0
    assert (tmp_path / "ml-1m" / "ratings.tsv").read_bytes() == RATINGS


def test_wrong_checksum_is_refused(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = _zip(**{"ml-100k/u.data": RATINGS})
    published = download.ARCHIVES["100k"].md5
    assert _run(server, "/a.zip", body, tmp_path, "--md5", published) == 2
    message = _refused(capsys, tmp_path)
    assert published in message
    assert hashlib.md5(body).hexdigest() in message


def test_truncated_download_is_refused(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = _zip(**{"ml-100k/u.data": RATINGS})
    assert _run(server, "/cut", body, tmp_path) == 2
    assert f"ended after {len(body)} of {len(body) + 1000:,} bytes" in _refused(capsys, tmp_path)


def test_large_archive_is_refused(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(server, "/a.zip", bytes(10_000_001), tmp_path) == 2
    assert "larger than the 10,000,000 bytes" in _refused(capsys, tmp_path)


def test_large_content_is_refused(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml-100k/u.data", bytes(50_000_001))
    assert _run(server, "/a.zip", packed.getvalue(), tmp_path) == 2
    assert "larger than 50,000,000 bytes" in _refused(capsys, tmp_path)


@pytest.mark.parametrize("name", ["../outside", "ml-100k/../../outside", "/tmp/outside"])
def test_path_traversal_is_refused(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    output = tmp_path / "output"
    assert _run(server, "/a.zip", _zip(**{"ml-100k/u.data": RATINGS, name: b"x"}), output) == 2
    assert "outside its folder" in _refused(capsys, output)
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(("body", "reason"), [(b"not a zip", "valid zip"), (_zip(other=b""), "has no ml-100k/u.data")])
def test_other_file_is_refused(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], body: bytes, reason: str
) -> None:
    assert _run(server, "/a.zip", body, tmp_path) == 2
    assert reason in _refused(capsys, tmp_path)


def test_http_error_is_refused(server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}/absent.zip"
    _Handler.bodies = {}
    assert download.main(["--url", url, "--output", str(tmp_path)]) == 2
    assert "returned 404" in _refused(capsys, tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid"])
def test_offline_is_reported(host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert download.main(["--url", f"http://{host}/ml-100k.zip", "--output", str(tmp_path)]) == 2
    assert "unreachable" in _refused(capsys, tmp_path)


def test_unwritable_output_is_refused(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert _run(server, "/a.zip", _zip(**{"ml-100k/u.data": RATINGS}), tmp_path / "file") == 2
    assert "file" in capsys.readouterr().err


def test_published_digests() -> None:
    assert download.ARCHIVES["100k"].md5 == "0e33842e24a9c977be4e0107933c0723"
    assert download.ARCHIVES["1m"].md5 == "c4d9eecfca2ab87c1945afe126590906"
    assert all(a.url.startswith("https://files.grouplens.org/") for a in download.ARCHIVES.values())
