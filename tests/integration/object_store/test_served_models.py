"""Models in an object store: downloaded once, verified, and served only when complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.pusher.remote import RemoteVersions
from errors import ModelDamaged, ModelNotFound, StoreError
from kindred.manifest import MANIFEST, damage
from serving.store import find_model
from storage.cache import CACHE
from tests.object_store import Bucket, FaultyProxy, free_port, truncated
from tests.unit.trainer.planted_model import Planted

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def models(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return f"{bucket.url}/models"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("saved_model.pb", "variables/variables.index", "assets/left"):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    return tmp_path / "model"


def _content(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if "manifest" not in name}


def test_newest_complete_version_is_downloaded_once(
    models: str, model: Path, bucket: Bucket, proxy: FaultyProxy
) -> None:
    versions = RemoteVersions(models)
    for _ in range(2):
        versions.publish(str(model))
    bucket.put("models/3/variables/variables.index", b"not complete")
    found = find_model(models)
    assert _content(found) == _content(model)
    assert find_model(f"{models}/2") == found
    RemoteVersions(f"{bucket.url}/films/serving").publish(str(model))
    assert _content(find_model(f"{bucket.url}/films")) == _content(model), "a root has its versions in `serving`"
    assert find_model(f"{models}/1") != found
    proxy.requests.clear()
    assert find_model(models) == found
    assert not [line for line in proxy.requests if line.startswith("GET") and "variables" in line.split("?")[0]]


def test_replaced_version_is_downloaded_again(models: str, model: Path, bucket: Bucket) -> None:
    versions = RemoteVersions(models)
    versions.publish(str(model))
    first = find_model(models)
    for key in bucket.keys("models/"):
        bucket.delete(key)
    (model / "assets" / "left").write_bytes(b"changed")
    assert versions.publish(str(model)) == 1
    assert _content(find_model(models)) == _content(model)
    assert not first.exists()


def test_damaged_copy_is_downloaded_again(models: str, model: Path) -> None:
    RemoteVersions(models).publish(str(model))
    (find_model(models) / "assets" / "left").write_bytes(b"damaged")
    assert _content(find_model(models)) == _content(model)


def test_damaged_model_leaves_no_copy(models: str, model: Path, bucket: Bucket, tmp_path: Path) -> None:
    RemoteVersions(models).publish(str(model))
    bucket.put("models/1/assets/left", b"damaged")
    with pytest.raises(ModelDamaged, match=r"models/1/assets/left is missing or changed since it was published"):
        find_model(models)
    assert not list((tmp_path / "cache").rglob("saved_model.pb"))


def test_interrupted_download_leaves_no_copy(
    models: str, model: Path, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.faults._FIRST_PAUSE", 0.01)
    RemoteVersions(models).publish(str(model))
    proxy.fault = lambda request, answer: truncated(answer) if b"/assets/left" in request.split(b"\r\n")[0] else None
    with pytest.raises(Exception, match="failed 3 times"):
        find_model(models)
    assert not list((tmp_path / "cache").rglob("saved_model.pb"))
    proxy.fault = lambda request, answer: None
    assert _content(find_model(models)) == _content(model)


def test_missing_model_is_named(models: str, bucket: Bucket) -> None:
    bucket.put("models/1/variables/variables.index", b"")
    for url in (models, f"{models}/1", f"{models}/7"):
        with pytest.raises(ModelNotFound, match=f"--model {url}: no complete model version"):
            find_model(url)
    with pytest.raises(StoreError, match="there is no bucket absent"):
        find_model("s3://absent/models")
    with pytest.raises(ModelNotFound, match="must have the form s3://BUCKET/KEY"):
        find_model("s3:///models")


@pytest.fixture
def served(models: str, planted: Planted, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A model server of the versions in the store, by its REST address and its log."""
    port = free_port()
    flags = [f"--rest_api_port={port}", "--port=0", "--model_name=m", f"--model_base_path={models}"]
    log = tmp_path / "log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-m", "serving.model_server.main", *flags, "--file_system_poll_wait_seconds=0.2"],
            stdout=out,
            stderr=out,
            env=dict(os.environ),
        ) as server,
    ):
        yield f"http://127.0.0.1:{port}/v1/models/m", log
        server.terminate()


def _wait_for(url: str, text: str) -> str:
    deadline, found = time.monotonic() + 300, ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = answer.read().decode()
        except OSError as error:
            found = str(error)
        if text in found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"no {text!r} in {found}")


def test_server_loads_only_complete_versions(
    served: tuple[str, Path], models: str, bucket: Bucket, planted: Planted, tmp_path: Path
) -> None:
    """The second version arrives without its graph first, and is loaded as soon as it has one."""
    status, log = served
    versions = RemoteVersions(models)
    versions.publish(str(planted.model))
    first = _wait_for(status, "AVAILABLE")
    assert '"version":"1"' in first
    source = f"models/{versions.publish(str(planted.model))}/"
    _wait_for(status, '"version":"2"')
    for key in bucket.keys(source):
        if not key.endswith(("saved_model.pb", "/")):
            bucket.put(key.replace(source, "models/3/"), bucket.get(key))
    time.sleep(2)
    assert '"version":"3"' not in _wait_for(status, "AVAILABLE")
    bucket.put("models/3/saved_model.pb", bucket.get(f"{source}saved_model.pb"))
    _wait_for(status, '"version":"3"')
    _wait_for(status, "AVAILABLE")
    assert "failed" not in log.read_text()
    versions.withdraw(3)
    bucket.put("models/2/assets/extra", b"changed")
    wanted = "models/2 have changed since this version was loaded"
    falls_back = json.loads(_wait_for(status, wanted))["model_version_status"]
    assert {entry["version"]: entry["state"] for entry in falls_back}["2"] == "AVAILABLE"
    fourth = f"models/{versions.publish(str(planted.model))}"
    _wait_for(status, f'"version":"{fourth[-1]}"')
    bucket.put(f"models/5/{MANIFEST}", bucket.get(f"{fourth}/{MANIFEST}"))
    bucket.put("models/5/saved_model.pb", b"damaged")
    refused = json.loads(_wait_for(status, "DATA_LOSS"))["model_version_status"]
    assert {entry["version"]: entry["state"] for entry in refused}[fourth[-1]] == "AVAILABLE"
    assert all(damage(str(path.parent)) is None for path in (tmp_path / "cache").rglob("saved_model.pb"))
