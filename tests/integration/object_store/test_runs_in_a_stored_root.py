"""Runs with a root in an object store: cached on every machine, with the right exit code if the store fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands import conclusion
from pipeline.config import load_config
from pipeline.records.node_ids import EXAMPLE_GEN, STATISTICS_GEN
from pipeline.records.root import Root
from pipeline.records.stored.working_copy import read_base
from pipeline.running import local
from pipeline.running.local import RunOutcome
from pipeline.running.options import RunOptions
from storage.cache import CACHE
from tests.e2e import planted
from tests.object_store import Bucket, FaultyProxy

pytestmark = pytest.mark.tensorflow


class Machines:
    """Runs the first nodes of a pipeline on one of several machines."""

    def __init__(self, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = planted.write_pipeline(folder)
        self._folder, self._url, self._monkeypatch = folder, url, monkeypatch

    def root(self, name: str) -> Root:
        self._monkeypatch.setenv(CACHE, str(self._folder / name))
        return Root.at(self._url, "planted")

    def run(self, name: str) -> RunOutcome:
        options = RunOptions(until=STATISTICS_GEN)
        return local.run(load_config(self._file), self.root(name), options, lambda folder: None)


def _states(outcome: RunOutcome) -> dict[str, str]:
    return {component["id"]: component["state"] for component in outcome.record.components}


def _is_write(request: bytes) -> bool:
    return request.startswith((b"PUT", b"POST", b"DELETE"))


def test_second_run_is_cached_on_every_machine(
    bucket: Bucket, proxy: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run, run again on a fresh machine, fail to store, store later, find damage in the store."""
    machines = Machines(tmp_path, f"{bucket.url}/films", monkeypatch)
    first = machines.run("one")
    assert (first.exit_code, set(_states(first).values())) == (0, {"executed"}), first.record.error
    second = machines.run("a-longer-path/two")
    assert (second.exit_code, set(_states(second).values())) == (0, {"cached"}), second.record.error
    assert json.loads(bucket.get(f"films/runs/{second.record.run_id}/summary.json"))["status"] == "tuned"

    proxy.refuse = lambda request: _is_write(request) and b"/state/" in request.split(b"\r\n")[0]
    third = machines.run("one")
    proxy.refuse = lambda request: False
    assert (third.exit_code, set(_states(third).values())) == (2, {"cached"})
    text = conclusion.describe(third, machines.root("one"))
    assert f"The results are not stored in {bucket.url}/films: " in text
    assert "the store refuses access" in text
    assert read_base(machines.root("three").fetch().path).generation == 2, "the state of the second run counts"

    assert machines.run("one").exit_code == 0
    three = machines.root("three").fetch()
    assert read_base(three.path).generation == 3, "the third run is stored with the fourth"
    assert len(list(three.runs.iterdir())) == 4

    (examples,) = [key for key in bucket.keys("films/pipeline/") if "/Split-train/" in key and EXAMPLE_GEN in key]
    bucket.put(examples, b"x" * len(bucket.get(examples)))
    fifth = machines.run("five")
    assert (fifth.exit_code, _states(fifth)[EXAMPLE_GEN]) == (0, "executed"), "damage in the store is not used"
    sixth = machines.run("six")
    assert (sixth.exit_code, set(_states(sixth).values())) == (0, {"cached"})
