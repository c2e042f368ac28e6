"""The same steps on other servers, where one is installed: versitygw for S3, fake-gcs-server for Google, Azurite.

Install them with `go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`,
`go install github.com/fsouza/fake-gcs-server@v1.56.1` and `npm install -g azurite@3`. moto runs in every test of this
folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.pusher.remote import RemoteVersions
from errors import RootError, StoreError
from pipeline.records.root import Root
from serving.downloads import complete_versions
from storage.cache import CACHE
from storage.connect import connect
from storage.settings import StorageSettings
from storage.store import Store
from storage.urls import parse
from tests.object_store import CREDENTIALS, free_port

# The account and the key that every Azurite has.
AZURITE = {
    "AZURE_STORAGE_ACCOUNT": "devstoreaccount1",
    "AZURE_STORAGE_KEY": ("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="),
}


@contextlib.contextmanager
def running(name: str, *arguments: str, port: int) -> Iterator[str]:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    access = {
        "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    with subprocess.Popen(
        [program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | access
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextlib.contextmanager
def _versitygw(folder: Path) -> Iterator[Store]:
    (folder / "planted").mkdir()
    port = free_port()
    with running("versitygw", "--port", f"127.0.0.1:{port}", "posix", str(folder), port=port) as endpoint:
        yield Store("s3://planted/models", StorageSettings(endpoint=endpoint, region="us-east-1"))


@contextlib.contextmanager
def _fake_gcs_server(folder: Path) -> Iterator[Store]:
    port = free_port()
    flags = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with running("fake-gcs-server", *flags, "-public-host", f"127.0.0.1:{port}", port=port) as endpoint:
        head = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/storage/v1/b", b'{"name": "planted"}', head)).close()
        yield Store("gs://planted/models", StorageSettings(endpoint=endpoint, anonymous=True))


@contextlib.contextmanager
def _azurite(folder: Path) -> Iterator[Store]:
    port = free_port()
    flags = ["--location", str(folder), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    with running("azurite-blob", *flags, "--skipApiVersionCheck", "--disableTelemetry", port=port) as endpoint:
        settings = StorageSettings(endpoint=endpoint)
        connect(parse("az://planted"), settings).create_dir("planted", recursive=False)
        yield Store("az://planted/models", settings)


@pytest.fixture(params=[_versitygw, _fake_gcs_server, _azurite], ids=lambda start: start.__name__)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name, value in {**CREDENTIALS, **AZURITE}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "data").mkdir()
    with request.param(tmp_path / "data") as opened:
        yield opened


def test_objects_are_written_listed_copied_and_deleted(store: Store) -> None:
    tags = []
    for content in (b"one", b"two"):
        store.write("a/b", content)
        tags.append(store.tag("a/b"))
    assert tags[0] != tags[1]
    (entry,) = store.objects()
    assert (entry.name, entry.size, store.folders()) == ("a/b", 3, ["a"])
    store.copy(entry, "c")
    assert (store.read("c"), store.folders()) == (b"two", ["a", "c"])
    store.delete("c")
    store.delete("c")
    assert store.find("c") is None
    absent = Store(store.url.replace("planted", "absent"), store._settings)
    for work in (absent.objects, absent.folders, lambda: absent.write("a", b"")):
        with pytest.raises(StoreError, match="there is no bucket absent"):
            work()


def test_versions_are_published_withdrawn_and_retired(store: Store, tmp_path: Path) -> None:
    for name in ("saved_model.pb", "variables/variables.index"):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(name.encode())
    versions, start = RemoteVersions(store.url, None, store._settings), threading.Barrier(4)

    def publish(_: int) -> int:
        start.wait()
        return versions.publish(str(tmp_path / "model"))

    with ThreadPoolExecutor(4) as pool:
        numbers = sorted(pool.map(publish, range(4)))
    assert versions.published() == numbers == sorted(set(numbers))
    assert versions.newest_if_same(str(tmp_path / "model")) == numbers[-1]
    versions.withdraw(numbers[-1])
    assert (versions.published(), versions.withdrawn()) == (numbers[:-1], numbers[-1:])
    versions.restore(numbers[-1])
    versions.retire(2)
    assert versions.published() == numbers[-2:]
    assert complete_versions(store.url, store._settings) == [str(number) for number in numbers[-2:]]
    assert store.folders() == [str(number) for number in numbers[-2:]]


def test_root_continues_on_another_machine(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def root_on(machine: str) -> Root:
        monkeypatch.setenv(CACHE, str(tmp_path / machine))
        return Root.at(f"{store.url}/root", "", store._settings)

    with (root := root_on("one")).locked():
        with contextlib.closing(sqlite3.connect(root.metadata)) as database, database:
            database.executescript(
                "CREATE TABLE Artifact (id INTEGER, uri TEXT, state INT);"
                "CREATE TABLE ArtifactProperty (artifact_id INT, name TEXT, string_value TEXT);"
                "CREATE TABLE Execution (id INTEGER);"
            )
            database.execute("INSERT INTO Artifact VALUES (1, ?, 2)", [str(root.artifacts / "Node" / "output" / "1")])
        (root.artifacts / "Node" / "output" / "1").mkdir(parents=True)
        (root.artifacts / "Node" / "output" / "1" / "data").write_text("planted")
        with pytest.raises(RootError, match="another run is using it"), root_on("two").locked():
            pass
    with (root := root_on("two")).locked():
        folder = root.artifacts / "Node" / "output" / "1"
        assert list(folder.iterdir()) == []
        root.ensure(folder)
        assert (folder / "data").read_text() == "planted"
