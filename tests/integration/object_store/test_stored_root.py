"""A root in an object store, on a real S3 server: working copies of several machines, with faults at every step."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from errors import ConfigError, KindredError, RootError, StoreError, StoreUnavailable
from kindred.digests import file_digests
from pipeline.config import PipelineConfig
from pipeline.records.metadata_backup import back_up, restore_if_damaged
from pipeline.records.root import Root
from pipeline.records.stored import lease
from pipeline.records.stored.session import Session
from storage.cache import CACHE
from tests.object_store import Bucket, FaultyProxy, cut, error

_LIVE, _DELETED = 2, 4
_TABLES = """
    CREATE TABLE IF NOT EXISTS Artifact (id INTEGER PRIMARY KEY, uri TEXT UNIQUE, state INT);
    CREATE TABLE IF NOT EXISTS ArtifactProperty (artifact_id INT, name TEXT, string_value TEXT);
    CREATE TABLE IF NOT EXISTS Execution (id INTEGER PRIMARY KEY);
"""


class Machine:
    """A machine with its own folder for working copies. What it records stands for what a run does."""

    def __init__(self, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._url, self._monkeypatch = folder, url, monkeypatch

    @property
    def root(self) -> Root:
        self._monkeypatch.setenv(CACHE, str(self._folder))
        return Root.at(self._url, "films")

    @property
    def session(self) -> Session:
        session = self.root.session
        assert session is not None
        return session

    def record(self, execution: int, text: str, state: int = _LIVE) -> str:
        """Stores an artifact and its properties, as TFX and the node runner do. Returns its URI."""
        root = self.root
        folder = root.artifacts / "Trainer" / "model" / str(execution)
        (folder / "deep").mkdir(parents=True, exist_ok=True)
        (folder / "deep" / "weights").write_text(text)
        digests = json.dumps(file_digests(str(folder)))
        with contextlib.closing(sqlite3.connect(root.metadata)) as database, database:
            database.executescript(_TABLES)
            database.execute("REPLACE INTO Artifact VALUES (?, ?, ?)", (execution, str(folder), state))
            for name, value in (("file_digests", digests), ("model", str(folder))):
                database.execute("DELETE FROM ArtifactProperty WHERE artifact_id = ? AND name = ?", (execution, name))
                database.execute("INSERT INTO ArtifactProperty VALUES (?, ?, ?)", (execution, name, value))
        return str(folder)

    def note(self, run: str, text: str = "{}") -> None:
        """Writes the record and the report of a run."""
        folder = self.root.runs / run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(text)
        (folder / "report.html").write_text(f"report {text}")
        (folder / ".running").touch()

    def run(self, execution: int, text: str, before_end: Callable[[], object] = lambda: None) -> str:
        """A run from its start to its end."""
        with self.root.locked():
            self.note(f"run-{execution}", json.dumps({"model": text}))
            uri = self.record(execution, text)
            before_end()
        return uri

    def known(self) -> dict[str, tuple[str, int]]:
        """Returns the model and the state of each artifact by its path below the root, after a fetch."""
        root = self.root.fetch()
        if not root.metadata.exists():
            return {}
        with contextlib.closing(sqlite3.connect(root.metadata)) as database:
            rows = database.execute(
                "SELECT uri, string_value, state FROM Artifact, ArtifactProperty WHERE id = artifact_id AND name = ?",
                ["model"],
            ).fetchall()
        assert all(uri == model for uri, model, _ in rows), "all paths lead to this machine"
        found = {}
        for uri, _, state in rows:
            root.ensure(uri)
            weights = Path(uri, "deep", "weights")
            found[str(Path(uri).relative_to(root.path))] = (weights.read_text() if weights.exists() else "", state)
        return found


def _model(execution: int) -> str:
    return f"pipeline/Trainer/model/{execution}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.faults._FIRST_PAUSE", 0.001)


@pytest.fixture
def machines(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Machines without end, each with an empty disk."""
    return (Machine(tmp_path / f"machine-{n}", f"{bucket.url}/films", monkeypatch) for n in itertools.count())


def test_fresh_machine_continues(machines: Iterator[Machine], bucket: Bucket) -> None:
    one, two = next(machines), next(machines)
    one.run(7, "planted")
    assert two.known() == {_model(7): ("planted", _LIVE)}
    assert json.loads((two.root.runs / "run-7" / "summary.json").read_text()) == {"model": "planted"}
    two.run(8, "other")
    assert one.known() == {_model(7): ("planted", _LIVE), _model(8): ("other", _LIVE)}
    assert not [key for key in bucket.keys("films") if "/." in key], "hidden files stay on the machine"


def test_paths_in_the_store_are_urls(machines: Iterator[Machine], bucket: Bucket, tmp_path: Path) -> None:
    next(machines).run(7, "planted")
    (name,) = [key for key in bucket.keys("films/state/") if key.endswith("metadata.sqlite")]
    (tmp_path / "stored.sqlite").write_bytes(bucket.get(name))
    with contextlib.closing(sqlite3.connect(tmp_path / "stored.sqlite")) as database:
        assert database.execute("SELECT uri FROM Artifact").fetchall() == [(f"{bucket.url}/films/{_model(7)}",)]
    assert bucket.get(f"films/{_model(7)}/deep/weights") == b"planted"


def test_report_comes_when_it_is_read(machines: Iterator[Machine]) -> None:
    one, two = next(machines), next(machines)
    one.run(7, "planted")
    root = two.root.fetch()
    report = root.runs / "run-7" / "report.html"
    assert not report.exists() and report in root.stored_files()
    two.session.fetch_files(root.runs / "run-7")
    assert report.read_text() == 'report {"model": "planted"}'
    assert not two.session.commit(), "a downloaded file is no change"


def test_nothing_new_is_not_stored(machines: Iterator[Machine], proxy: FaultyProxy) -> None:
    one = next(machines)
    one.run(7, "planted")
    proxy.requests.clear()
    with one.root.locked():
        pass
    one.root.fetch()
    assert not [line for line in proxy.requests if "PUT" in line and "/locks/" not in line]


def test_second_run_at_the_same_time_is_refused(machines: Iterator[Machine]) -> None:
    one, two = next(machines), next(machines)
    with one.root.locked():
        with pytest.raises(
            RootError, match=r"s3://planted-\d+/films: another run is using it: process \d+ on .* since"
        ):
            two.run(8, "other")
        one.record(7, "planted")
    assert two.known() == {_model(7): ("planted", _LIVE)}
    two.run(8, "other")
    assert one.known().keys() == {_model(7), _model(8)}


def test_two_that_begin_together_do_not_both_run(machines: Iterator[Machine], bucket: Bucket) -> None:
    """The claim of the other machine arrives after the first check of its own, at the worst moment."""
    one, two = next(machines), next(machines)
    mine, other = one.session._lease, two.session._lease
    mine._write()
    with pytest.raises(RootError, match="another run is using it"), other.held():
        pass
    with mine.held():
        assert mine.is_held()
    assert [key for key in bucket.keys("films/locks/") if not key.endswith("/")] == []


def test_killed_run_does_not_lock_its_own_machine(machines: Iterator[Machine]) -> None:
    one, two = next(machines), next(machines)
    one.session._lease._write()
    with pytest.raises(RootError, match="try again 5 minutes later"):
        two.run(8, "other")
    one.run(7, "planted")
    two.run(8, "other")
    assert one.known().keys() == {_model(7), _model(8)}


def test_machine_that_was_away_too_long_stores_nothing(
    machines: Iterator[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = next(machines), next(machines)

    def overtake() -> None:
        monkeypatch.setattr(lease, "_STALE_SECONDS", 0)
        two.run(8, "other")

    with pytest.raises(RootError, match="another machine has taken over the root"):
        one.run(7, "late", overtake)
    assert two.known() == {_model(8): ("other", _LIVE)}
    assert one.known() == {_model(8): ("other", _LIVE)}
    one.run(9, "again")
    assert two.known().keys() == {_model(8), _model(9)}


def test_generation_has_one_winner(machines: Iterator[Machine], tmp_path: Path) -> None:
    """Without the lease: the last request of a machine that stopped right before it."""
    one, two, three = next(machines), next(machines), next(machines)
    one.run(7, "planted")
    late = two.session
    two.known()
    two.record(8, "late")

    def overtake(_: object) -> None:
        one.run(9, "first")

    database = two.root.metadata
    with pytest.raises(RootError, match="another machine has changed the root"):
        late._states.commit(1, database, overtake)
    assert three.known().keys() == {_model(7), _model(9)}


def test_resumed_run_keeps_what_it_has(machines: Iterator[Machine]) -> None:
    one, two = next(machines), next(machines)
    one.run(7, "planted")
    with pytest.raises(KeyboardInterrupt):
        one.run(8, "half", _interrupt)
    assert two.known().keys() == {_model(7)}, "an interrupted command stores nothing"
    assert one.known() == {_model(7): ("planted", _LIVE), _model(8): ("half", _LIVE)}
    with one.root.locked():
        pass
    assert two.known() == {_model(7): ("planted", _LIVE), _model(8): ("half", _LIVE)}


def test_overtaken_work_does_not_mix_with_that_of_others(machines: Iterator[Machine]) -> None:
    """Two executions with the same number: files of the one that does not count must not stay in its folder."""
    one, two = next(machines), next(machines)
    one.run(7, "planted")
    with pytest.raises(KeyboardInterrupt):
        one.run(8, "half", _interrupt)
    uri = one.record(8, "half")
    (Path(uri) / "leftover").touch()
    one.record(9, "half")
    two.run(8, "other")
    two.known()
    known = one.known()
    assert known.keys() == {_model(7), _model(8)}
    assert not (one.root.path / _model(9)).exists()
    one.session.fetch_artifact(uri)
    assert file_digests(uri).keys() == {"deep/weights"}
    assert (Path(uri) / "deep" / "weights").read_text() == "other"


def test_deleted_artifacts_and_pages_are_deleted_there(machines: Iterator[Machine], bucket: Bucket) -> None:
    one, two = next(machines), next(machines)
    one.run(7, "old")
    one.run(8, "new")
    with two.root.locked():
        two.record(7, "", _DELETED)
        two.session.forget([two.root.runs / "run-7" / "report.html"])
    assert bucket.keys("films/pipeline/Trainer/model/7/") == []
    assert bucket.get(f"films/{_model(8)}/deep/weights") == b"new"
    runs = [key for key in bucket.keys("films/runs/") if not key.endswith("/")]
    assert runs == ["films/runs/run-7/summary.json", "films/runs/run-8/report.html", "films/runs/run-8/summary.json"]
    assert one.known()[_model(7)][1] == _DELETED


def test_old_states_are_removed(machines: Iterator[Machine], bucket: Bucket) -> None:
    one = next(machines)
    for execution in range(4):
        one.run(execution, "planted")
    marks = [key for key in bucket.keys("films/state/") if key.endswith("state.json")]
    assert [key.split("/")[2].split("-")[0] for key in marks] == ["00000003", "00000004"]
    assert len([key for key in bucket.keys("films/state/") if key.endswith("metadata.sqlite")]) == 2


@pytest.mark.parametrize("keys", ["/pipeline/", "/runs/", "metadata.sqlite", "state.json", "/locks/"])
def test_refused_upload_leaves_the_former_state(
    machines: Iterator[Machine], proxy: FaultyProxy, bucket: Bucket, keys: str
) -> None:
    one = next(machines)
    one.run(7, "planted")
    proxy.refuse = lambda request: _is_write(request) and keys.encode() in request.split(b"\r\n")[0]
    with pytest.raises(StoreError, match="the store refuses access"):
        one.run(8, "other")
    proxy.refuse = lambda request: False
    assert next(machines).known() == {_model(7): ("planted", _LIVE)}
    one.run(8, "other")
    assert next(machines).known() == {_model(7): ("planted", _LIVE), _model(8): ("other", _LIVE)}


def test_every_moment_of_a_kill(machines: Iterator[Machine], proxy: FaultyProxy) -> None:
    """The store refuses all changes from the n-th on, for each n. A fresh machine sees the state before or after."""
    one = next(machines)
    one.run(0, "first")
    before, seen = one.known(), []
    for number in itertools.count(1):
        refused, left = [False], itertools.count(1)

        def refuse(
            request: bytes, refused: list[bool] = refused, left: Iterator[int] = left, last: int = number
        ) -> bool:
            is_change = _ends_write_of(request) or request.startswith(b"DELETE")
            refused[0] = refused[0] or (is_change and next(left) > last)
            return is_change and refused[0]

        proxy.refuse = refuse
        with contextlib.suppress(KindredError):
            one.run(number, f"model {number}")
        proxy.refuse = lambda request: False
        found = next(machines).known()
        after = {**before, _model(number): (f"model {number}", _LIVE)}
        assert found in (before, after), number
        seen.append(found == after)
        one.run(number, f"model {number}")
        before = next(machines).known()
        assert before == after, f"the same command ends what was interrupted after {number} changes"
        if not refused[0]:
            break
    assert seen == sorted(seen) and set(seen) == {False, True} and len(seen) > 5


def test_faults_of_a_moment_lose_nothing(machines: Iterator[Machine], proxy: FaultyProxy) -> None:
    counts, faults = itertools.count(), [cut, error(503, "SlowDown"), error(500, "InternalError")]
    proxy.fault = lambda request, answer: faults[n // 5 % 3](answer) if (n := next(counts)) % 5 == 4 else None
    one, two = next(machines), next(machines)
    one.run(7, "planted")
    two.run(8, "other")
    assert one.known() == {_model(7): ("planted", _LIVE), _model(8): ("other", _LIVE)}


def test_lost_last_answer_is_recognized(machines: Iterator[Machine], proxy: FaultyProxy) -> None:
    one, two = next(machines), next(machines)
    one.run(7, "planted")
    proxy.fault = lambda request, answer: cut(answer) if _ends_write_of(request, b"state.json") else None
    with pytest.raises(StoreUnavailable, match="Nothing is lost"):
        one.run(8, "other")
    proxy.fault = lambda request, answer: None
    assert two.known().keys() == {_model(7), _model(8)}
    proxy.requests.clear()
    one.run(8, "other")
    assert not [line for line in proxy.requests if "/state/00000002-" in line and "metadata.sqlite" in line]
    assert two.known().keys() == {_model(7), _model(8)}


def test_damaged_database_in_the_store_is_named(machines: Iterator[Machine], bucket: Bucket) -> None:
    next(machines).run(7, "planted")
    (name,) = [key for key in bucket.keys("films/state/") if key.endswith("metadata.sqlite")]
    bucket.put(name, b"x" * len(bucket.get(name)))
    with pytest.raises(StoreError, match=r"metadata\.sqlite: is missing or differs"):
        next(machines).known()


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_damaged_database_of_a_working_copy_comes_from_the_store(machines: Iterator[Machine], damage: str) -> None:
    """Not from its older copy here: executions would use numbers again, and forget artifacts that the store has."""
    one = next(machines)
    one.run(7, "first")
    back_up(one.root.metadata)
    one.run(8, "second")
    if damage == "missing":
        one.root.metadata.unlink()
    else:
        one.root.metadata.write_bytes(b"" if damage == "empty" else b"SQLite format 3\0" + b"x" * 5000)
    with one.root.locked() as session:
        assert session is not None and "The state in s3://" in str(session.finding)
        assert restore_if_damaged(one.root.metadata, one.root.artifacts) is None
        one.note("run-9")
        one.record(9, "third")
    assert next(machines).known() == {
        _model(7): ("first", _LIVE), _model(8): ("second", _LIVE), _model(9): ("third", _LIVE)
    }  # fmt: skip


def test_lost_root_is_not_begun_anew(machines: Iterator[Machine], bucket: Bucket) -> None:
    one = next(machines)
    one.run(7, "planted")
    for key in bucket.keys("films/state/"):
        bucket.delete(key)
    with pytest.raises(RootError, match="has no state 1, which this machine has seen there"):
        one.run(8, "other")


def test_damage_in_the_store_is_found(machines: Iterator[Machine], bucket: Bucket) -> None:
    one = next(machines)
    uri = one.run(7, "planted")
    digests = json.dumps(file_digests(uri))
    assert one.session.damage_of(uri, digests) is None
    bucket.put(f"films/{_model(7)}/deep/weights", "PLANTED")
    assert one.session.damage_of(uri, digests) == f"{bucket.url}/films/{_model(7)}/deep/weights"


_FILE = {"name": "films", "data": {"path": "a.csv", "columns": {"left": "l", "right": "r"}}}


def _config(**publish: object) -> PipelineConfig:
    return PipelineConfig.model_validate({**_FILE, "publish": publish})


def test_versions_are_in_the_store(machines: Iterator[Machine], bucket: Bucket) -> None:
    root = next(machines).root
    assert root.serving(_config()) == f"{bucket.url}/films/serving"
    assert root.serving(_config(to="./models/../live")) == f"{bucket.url}/films/live"
    assert root.serving(_config(to="gs://others/models")) == "gs://others/models"
    assert root.name_of(f"{bucket.url}/films/serving/3") == "serving/3"
    assert root.place_of("serving/3") == f"{bucket.url}/films/serving/3"


@pytest.mark.parametrize("to", ["../models", "/srv/models", "a/../../b"])
def test_versions_outside_the_root_need_a_url(machines: Iterator[Machine], to: str) -> None:
    with pytest.raises(ConfigError, match=r"publish\.to: .* is outside the root s3://"):
        next(machines).root.serving(_config(to=to, outside_root=True))


@pytest.mark.parametrize("url", ["s3://", "s3://b*/root", "s3://bucket/a/../b", "hdfs://host/root", "http://x/root"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(RootError, match="--root"):
        Root.at(url, "films")


def test_working_copy_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE, str(tmp_path / "file"))
    with pytest.raises(
        RootError, match=r"--root s3://b/films: the working copy .* cannot be written \(Not a directory\)"
    ):
        Root.at("s3://b/films", "films")


def test_running_run_does_not_stop_readers_on_its_machine(machines: Iterator[Machine]) -> None:
    one = next(machines)
    one.run(7, "planted")
    with one.root.locked():
        one.record(8, "half")
        assert one.known().keys() == {_model(7), _model(8)}


def test_same_url_at_another_endpoint_is_another_root(
    machines: Iterator[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = next(machines)
    here = one.root.path
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert one.root.path != here


def _interrupt() -> None:
    raise KeyboardInterrupt


def _ends_write_of(request: bytes, name: bytes = b"") -> bool:
    """Returns whether the object exists after this request. PyArrow begins each object with another one."""
    line = request.split(b"\r\n")[0]
    return name in line and line.startswith(b"POST") and b"uploadId=" in line


def _is_write(request: bytes) -> bool:
    return request.startswith((b"PUT", b"POST", b"DELETE"))
