"""Every operation on a store meets every fault: it ends right, or it leaves nothing partial and says why.

`python -m pytest tests/integration/object_store/test_every_fault.py -s` prints how many faults each operation met.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from components.batch_lists.folder import Manifest, digests_of
from components.batch_lists.stored import StoredLists
from components.pusher.remote import RemoteVersions
from errors import StoreError
from kindred.manifest import damage
from pipeline.commands.batch.output import written
from pipeline.records.stored.artifacts import StoredArtifacts
from serving.downloads import local_copy
from serving.model_server.log_objects import LogObjects
from storage.cache import CACHE
from storage.copies import Copies
from storage.settings import StorageSettings
from storage.store import Store
from tests.integration.object_store.test_stored_root import Machine
from tests.object_store import CREDENTIALS, Bucket, Fault, FaultyProxy, cut, error, truncated

pytestmark = pytest.mark.tensorflow
_CONTENT = b"left_id,right_id\nplain,lock\n" * 400
_EXPIRED = error(400, "ExpiredToken")


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation on a store.

    Attributes:
      act: what a command does. Rerunning it completes what was interrupted.
      is_done: whether its result is there, whole.
      is_safe: whether nothing partial can be seen.
    """

    act: Callable[[], object]
    is_done: Callable[[], bool]
    is_safe: Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an operation works: below a URL and in a folder of this machine."""

    bucket: Bucket
    key: str
    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def url(self) -> str:
        return f"{self.bucket.url}/{self.key}"

    def model(self) -> Path:
        return self.write("model", {"saved_model.pb": b"graph", "variables/variables.index": _CONTENT})

    def write(self, name: str, files: dict[str, bytes]) -> Path:
        for file, content in files.items():
            path = self.folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return self.folder / name

    def has(self, name: str, content: bytes = _CONTENT) -> bool:
        key = f"{self.key}/{name}"
        return key in self.bucket.keys(key) and self.bucket.get(key) == content


def _inputs(place: Place) -> Operation:
    place.bucket.put(f"{place.key}/a.csv", _CONTENT)
    copies = Copies(str(place.folder / "inputs"), StorageSettings())
    entries, file = copies.bucket_of(place.url).objects(place.key), Path(copies.path_of(f"{place.url}/a.csv"))
    return Operation(
        lambda: copies.refresh(place.url, entries),
        lambda: file.read_bytes() == _CONTENT,
        lambda: not any(path.is_file() for path in (place.folder / "inputs").rglob("*")),
    )


def _publish(place: Place) -> Operation:
    versions, model = RemoteVersions(place.url), str(place.model())

    def is_whole() -> bool:
        return all(versions.damage(number, thorough=True) is None for number in versions.published())

    def act() -> None:
        if versions.newest_if_same(model) is None:  # as the Pusher
            versions.publish(model)

    return Operation(act, lambda: len(versions.published()) == 1 and is_whole(), is_whole)


def _approve(place: Place) -> Operation:
    versions = RemoteVersions(place.url)
    versions.publish(str(place.model()), await_approval=True)

    def is_safe() -> bool:
        published = versions.published()
        return (published or versions.awaiting()) == [1] and (not published or versions.damage(1, True) is None)

    def act() -> None:
        if versions.awaiting():  # as `kindred approve`
            versions.approve(1)

    return Operation(act, lambda: versions.published() == [1] and is_safe(), is_safe)


def _rollback(place: Place) -> Operation:
    versions = RemoteVersions(place.url)
    for _ in range(2):
        versions.publish(str(place.model()))

    def act() -> None:
        if 2 in versions.published():
            versions.withdraw(2)

    return Operation(
        act,
        lambda: (versions.published(), versions.withdrawn()) == ([1], [2]),
        lambda: all(versions.damage(number, True) is None for number in versions.published()),
    )


_ARTIFACT = "pipeline/Trainer/model/7"


def _stage_out(place: Place) -> Operation:
    place.write(_ARTIFACT, {"a": _CONTENT, "deep/b": b"b"})
    artifacts = StoredArtifacts(Store(place.url), place.folder)
    # No state names the artifact before this has ended, so a part of it harms nobody.
    return Operation(
        lambda: artifacts.upload({_ARTIFACT: ""}),
        lambda: place.has(f"{_ARTIFACT}/a") and place.has(f"{_ARTIFACT}/deep/b", b"b"),
        lambda: True,
    )


def _stage_in(place: Place) -> Operation:
    for name, content in (("a", _CONTENT), ("deep/b", b"b")):
        place.bucket.put(f"{place.key}/{_ARTIFACT}/{name}", content)
    folder = place.folder / _ARTIFACT
    artifacts = StoredArtifacts(Store(place.url), place.folder)
    return Operation(
        lambda: artifacts.fetch(str(folder)),
        lambda: ((folder / "a").read_bytes(), (folder / "deep" / "b").read_bytes()) == (_CONTENT, b"b"),
        lambda: not folder.exists(),
    )


def _state(place: Place) -> Operation:
    one, two = (Machine(place.folder / name, place.url, place.patch) for name in ("one", "two"))
    one.run(7, "planted")
    before = two.known()
    after = {**before, "pipeline/Trainer/model/8": ("other", 2)}
    return Operation(lambda: one.run(8, "other"), lambda: two.known() == after, lambda: two.known() in (before, after))


def _lists(place: Place) -> Operation:
    lists, folder = StoredLists(place.url), place.write("lists", {"right/00000-of-00001.csv": _CONTENT})
    Manifest("key", 3, "films", {}, {"right": {"queries": 1, "rows": 1}}, digests_of(folder)).write(folder)

    def is_whole() -> bool:
        return not lists.versions() or place.has("3/right/00000-of-00001.csv")

    return Operation(lambda: lists.publish(3, folder), lambda: lists.versions() == [3] and is_whole(), is_whole)


def _output(place: Place) -> Operation:
    table = pa.table({"left_id": ["plain"], "right_id": ["lock"]})

    def act() -> None:
        with written(f"{place.url}/today.csv", table.schema) as write:
            write(table)

    content = b'"left_id","right_id"\n"plain","lock"\n'
    return Operation(
        act,
        lambda: place.has("today.csv", content),
        lambda: not place.bucket.keys(f"{place.key}/today") or place.has("today.csv", content),
    )


def _request_log(place: Place) -> Operation:
    log = LogObjects(f"{place.url}/films")
    log.waiting.parent.mkdir(parents=True)
    file = log.waiting.with_name("films-1.tfrecord")
    file.write_bytes(_CONTENT)

    def stored() -> list[bytes]:
        return [place.bucket.get(key) for key in place.bucket.keys(f"{place.key}/films")]

    return Operation(
        lambda: log.upload([path for path in [file] if path.exists()]),
        lambda: stored() == [_CONTENT] and not file.exists(),
        lambda: file.exists() and stored() in ([], [_CONTENT]),
    )


def _model(place: Place) -> Operation:
    RemoteVersions(place.url).publish(str(place.model()))

    def copies() -> list[Path]:
        return [graph.parent for graph in place.folder.rglob("models/**/saved_model.pb") if ".part" not in str(graph)]

    return Operation(
        lambda: local_copy(f"{place.url}/1"),
        lambda: len(copies()) == 1 and damage(str(copies()[0])) is None,
        lambda: not copies(),
    )


OPERATIONS = {
    "read inputs": _inputs, "publish": _publish, "approve": _approve, "roll back": _rollback, "stage out": _stage_out,
    "stage in": _stage_in, "store a state": _state, "write lists": _lists, "write an output": _output,
    "upload a request log": _request_log, "download a model": _model,
}  # fmt: skip


def _slow(answer: bytes) -> bytes:
    time.sleep(0.05)
    return answer


PASSING = {
    "cut": cut, "500": error(500, "InternalError"), "503": error(503, "SlowDown"), "truncated": truncated,
    "slow": _slow,
}  # fmt: skip
_EVERY = 4


class Passing:
    """Spoils every fourth answer, with one kind of fault after the other.

    Attributes:
      counts: how often each kind happened.
    """

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts, self._requests = counts, itertools.count(1)

    def __call__(self, request: bytes, answer: bytes) -> bytes | None:
        if next(self._requests) % _EVERY != _EVERY - 1:
            return None
        kind = min(PASSING, key=lambda name: self.counts[name])
        self.counts[kind] += 1
        return PASSING[kind](answer)


def _expired(number: int) -> Fault:
    """Returns a fault that refuses all requests from the one with this number on."""
    requests = itertools.count(1)
    return lambda request, answer: _EXPIRED(answer) if next(requests) >= number else None


def _without_new(known: set[str]) -> Fault:
    """Returns a fault that leaves out of lists what is not in `known`, as a store that lists new objects late."""

    def fault(request: bytes, answer: bytes) -> bytes | None:
        if b"list-type=2" not in request.split(b"\r\n")[0]:
            return None
        body = answer.partition(b"\r\n\r\n")[2].decode()
        for entry in re.findall(r"<Contents>.*?</Contents>|<CommonPrefixes>.*?</CommonPrefixes>", body, re.DOTALL):
            (key,) = re.findall(r"<(?:Key|Prefix)>(.*?)</", entry)
            if not any(name.startswith(key) for name in known):
                body = body.replace(entry, "")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
        return f"{head}\r\n\r\n{body}".encode()

    return fault


def _refusal_of(operation: Operation) -> StoreError | None:
    try:
        operation.act()
    except StoreError as refused:
        return refused
    return None


@pytest.fixture
def place(
    bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Place]:
    monkeypatch.setattr("storage.faults._FIRST_PAUSE", 0.001)

    def made(key: str) -> Place:
        (tmp_path / key).mkdir()
        monkeypatch.setenv(CACHE, str(tmp_path / key / "cache"))
        return Place(bucket, key, tmp_path / key, monkeypatch)

    return made


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_meets_every_fault(
    name: str, place: Callable[[str], Place], proxy: FaultyProxy, bucket: Bucket, capfd: pytest.CaptureFixture[str]
) -> None:
    counts = dict.fromkeys(PASSING, 0)
    while not all(counts.values()):
        operation = OPERATIONS[name](place(f"passing-{sum(counts.values())}"))
        proxy.fault = Passing(counts)
        operation.act()
        proxy.fault = lambda request, answer: None
        assert operation.is_done(), counts

    for number in (2, 6):
        operation = OPERATIONS[name](place(f"expired-{number}"))
        proxy.fault = _expired(number)
        refused = _refusal_of(operation)
        if refused is not None:
            assert "the credentials have expired. Renew them" in str(refused) and refused.exit_code == 2
            assert not any(CREDENTIALS[name] in str(refused) for name in list(CREDENTIALS)[:2])
        proxy.fault = lambda request, answer: None
        assert operation.is_safe() or operation.is_done(), f"credentials expire at request {number}"
        operation.act()
        assert operation.is_done(), f"credentials are renewed after request {number}"

    operation = OPERATIONS[name](place("late"))
    proxy.fault = _without_new(set(bucket.keys()))
    assert "Run again" in str(_refusal_of(operation) or "Run again")
    proxy.fault = lambda request, answer: None
    assert operation.is_safe() or operation.is_done(), "new objects are listed late"
    operation.act()
    assert operation.is_done(), "new objects are listed again"
    with capfd.disabled():
        print(f"\n{name}: {counts}", end="")
