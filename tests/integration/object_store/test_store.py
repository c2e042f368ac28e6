"""The interface to object stores, on a real S3 server (moto), with faults injected on the way.

moto and versitygw 1.8.0 agree on what the program relies on: a new object is listed at once, an object appears whole, a
copy replaces its target, and a deletion of an absent object succeeds.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from errors import StoreError, StoreUnavailable
from storage.settings import StorageSettings
from storage.store import Store, in_parallel
from tests.object_store import CREDENTIALS, Bucket, FaultyProxy, cut, error, free_port, truncated

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def store(bucket: Bucket, proxy: FaultyProxy) -> Store:
    return Store(f"{bucket.url}/folder")


def _download(store: Store, name: str, file: Path) -> bytes:
    entry = store.find(name)
    assert entry is not None
    store.download(entry, str(file))
    return file.read_bytes()


def test_uploaded_file_comes_back(store: Store, bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    store.upload(str(tmp_path / "file"), "a/b")
    assert bucket.get("folder/a/b") == CONTENT
    assert store.read("a/b") == CONTENT
    assert _download(store, "a/b", tmp_path / "deep" / "copy") == CONTENT
    assert os.listdir(tmp_path / "deep") == ["copy"]


def test_objects_are_listed_with_their_sizes(store: Store, bucket: Bucket) -> None:
    for key in ("folder/a/b", "folder/c", "elsewhere/d"):
        bucket.put(key, key)
    assert [(entry.name, entry.size) for entry in store.objects()] == [("a/b", 10), ("c", 8)]
    assert store.folders() == ["a", "c"]
    assert store.objects("none") == []


def test_copied_object_replaces_target_and_deleted_one_is_gone(store: Store, bucket: Bucket) -> None:
    store.write("a", b"new")
    store.write("b", b"old")
    entry = store.find("a")
    assert entry is not None
    store.copy(entry, "b")
    assert bucket.get("folder/b") == b"new"
    store.delete("a")
    store.delete("a")
    assert store.find("a") is None
    with pytest.raises(FileNotFoundError):
        store.read("a")


def test_object_too_large_for_a_copy_goes_through_this_machine(
    store: Store, bucket: Bucket, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a", CONTENT)
    entry = store.find("a")
    assert entry is not None
    monkeypatch.setattr("storage.store._LARGEST_COPY", len(CONTENT) - 1)
    store.copy(entry, "b")
    assert bucket.get("folder/b") == CONTENT
    assert any(line.startswith("GET") and line.split()[1].endswith("folder/a") for line in proxy.requests)


def test_tag_changes_with_content(store: Store) -> None:
    tags = []
    for content in (b"one", b"two", b"one"):
        store.write("a", content)
        tags.append(store.tag("a"))
    assert tags[0] == tags[2] != tags[1]


_TRANSIENT = [cut, error(500, "InternalError"), error(503, "SlowDown"), truncated]
_NAMES = ["cut", "500", "503", "truncated"]


@pytest.mark.parametrize("fault", _TRANSIENT, ids=_NAMES)
def test_download_survives_faults(
    store: Store, bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, fault: object
) -> None:
    bucket.put("folder/a", CONTENT)
    entry = store.find("a")
    assert entry is not None
    proxy.first(4, "GET", fault)  # type: ignore[arg-type]
    store.download(entry, str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len([line for line in proxy.requests if line.startswith("GET")]) > 4


@pytest.mark.parametrize("fault", _TRANSIENT[:3], ids=_NAMES[:3])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_upload_survives_faults(
    store: Store, bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, fault: object, method: str
) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    proxy.first(4, method, fault)  # type: ignore[arg-type]
    store.upload(str(tmp_path / "a"), "a")
    assert bucket.get("folder/a") == CONTENT


def test_lasting_fault_leaves_no_file_and_can_be_retried(
    store: Store, bucket: Bucket, proxy: FaultyProxy, tmp_path: Path
) -> None:
    bucket.put("folder/a", CONTENT)
    entry = store.find("a")
    assert entry is not None
    proxy.first(1000, "GET", truncated)
    with pytest.raises(StoreUnavailable, match=r"folder/a: http://127.0.0.1:\d+ failed 3 times.*again") as failed:
        store.download(entry, str(tmp_path / "a"))
    assert failed.value.exit_code == 1
    assert os.listdir(tmp_path) == []


def test_changed_upload_is_noticed(store: Store, proxy: FaultyProxy, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    proxy.first(1000, "GET", lambda answer: answer[:-1] + b"X")
    with pytest.raises(StoreError, match="folder/a differs from"):
        store.upload(str(tmp_path / "a"), "a")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "the store refuses access. Set credentials"),
        (403, "InvalidAccessKeyId", "the store refuses access. Set credentials"),
        (403, "SignatureDoesNotMatch", "the store refuses access. Set credentials"),
        (400, "ExpiredToken", "the credentials have expired. Renew them"),
        (301, "PermanentRedirect", "the bucket is in another region. Set storage.region"),
    ],
)
def test_refusal_names_url_and_next_step(store: Store, proxy: FaultyProxy, status: int, code: str, words: str) -> None:
    proxy.first(1000, "GET", error(status, code))
    with pytest.raises(StoreError) as refused:
        store.objects()
    assert f"{store.url}: {words}" in str(refused.value)
    assert refused.value.exit_code == 2
    assert not any(CREDENTIALS[name] in str(refused.value) for name in list(CREDENTIALS)[:2])


def test_secret_that_a_store_repeats_is_not_printed(store: Store, proxy: FaultyProxy) -> None:
    secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    body = f"<Error><Code>Strange</Code><Message>key {secret}</Message></Error>".encode()
    head = f"HTTP/1.1 418 X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    proxy.first(1000, "GET", lambda answer: head + body)
    with pytest.raises(StoreError, match=r"refuses a request: .*key \*\*\*"):
        store.objects()


def test_missing_bucket_is_named(bucket: Bucket, proxy: FaultyProxy) -> None:
    for read in (lambda store: store.objects(), lambda store: store.objects("x"), lambda store: store.write("x", b"")):
        with pytest.raises(StoreError, match="there is no bucket absent at"):
            read(Store("s3://absent"))


def test_unreachable_endpoint_is_named() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StoreError, match=f"s3://films: {endpoint} cannot be reached. Check storage.endpoint"):
        Store("s3://films", StorageSettings(endpoint=endpoint, anonymous=True)).objects()


def test_page_of_a_proxy_is_no_store(store: Store, proxy: FaultyProxy) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n<html>login"
    proxy.first(1000, "GET", lambda answer: page)
    with pytest.raises(StoreError, match="does not answer like an object store"):
        store.objects()


def test_anonymous_request_has_no_signature(store: Store, bucket: Bucket, proxy: FaultyProxy) -> None:
    heads = []
    proxy.fault = lambda request, answer: heads.append(request)  # type: ignore[func-returns-value]
    bucket.put("folder/a", "a")
    store.objects()
    Store(store.url, StorageSettings(anonymous=True)).objects()
    assert [b"authorization:" in head.lower() for head in heads] == [True, False]


def test_parallel_work_keeps_order() -> None:
    assert in_parallel(lambda number: number * 2, range(50)) == list(range(0, 100, 2))
