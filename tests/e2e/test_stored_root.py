"""A root in an object store, on a real S3 server: a killed run, its continuation, an approval, an empty disk."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import planted
from tests.e2e.command import KINDRED, kindred, states
from tests.object_store import CREDENTIALS, Bucket, s3_server

pytestmark = pytest.mark.tensorflow
_NEVER_CACHED = {"LastAcceptedData", "LatestBlessedModel"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with s3_server() as endpoint:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        yield Bucket(endpoint, "planted")


def test_killed_run_continues_and_a_fresh_machine_has_its_cache(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, root = planted.write_pipeline(tmp_path), f"{bucket.url}/films"
    arguments = ["run", "--config", str(config), "--root", root, "--set", "publish.approve=true"]

    def on(machine: str) -> None:
        monkeypatch.setenv("KINDRED_CACHE", str(tmp_path / machine))

    def last_run() -> dict[str, object]:
        key = max(key for key in bucket.keys("films/runs/") if key.endswith("summary.json"))
        summary: dict[str, object] = json.loads(bucket.get(key))
        return summary

    on("one")
    with subprocess.Popen([KINDRED, *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "DataGate" in line)
        process.send_signal(signal.SIGKILL)
        process.stderr.read()
    assert bucket.keys("films/state/") == []

    on("two")
    refused = kindred(*arguments, timeout=600)
    assert (refused.returncode, "another run is using it: process" in refused.stderr) == (2, True), refused.stderr

    on("one")
    resumed = kindred(*arguments, timeout=600)
    assert resumed.returncode == 5, resumed.stderr
    assert {states(last_run())[node] for node in ("PairExampleGen", "DataGate")} == {"cached"}
    assert (last_run()["awaiting"], last_run()["published"]) == (1, None)
    assert f"approve 1 --root {root}" in resumed.stdout + resumed.stderr

    on("two")
    approved = kindred("approve", "1", "--root", root, "--reason", "looks good")
    assert approved.stdout == f"version 1 is published to {root}/serving/1\n", approved.stderr
    assert (last_run()["status"], last_run()["published"]) == ("published", "serving/1")
    again = kindred(*arguments, timeout=600)
    assert again.returncode == 0, again.stderr
    assert {node for node, state in states(last_run()).items() if state != "cached"} <= _NEVER_CACHED, again.stderr
    assert last_run()["published"] == "serving/1", "the same model is not published twice"

    on("three")
    listed = json.loads(kindred("versions", "--root", root, "--json").stdout)
    assert [(version["number"], version["state"]) for version in listed["versions"]] == [(1, "served")]
    report = kindred("report", "--root", root)
    assert Path(report.stdout.strip()).is_file()
    _check_no_credentials(bucket, tmp_path)


def _check_no_credentials(bucket: Bucket, folder: Path) -> None:
    """Records, logs, reports, databases and models have no credentials, on each machine and in the store."""
    secrets = [CREDENTIALS[name].encode() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    contents = {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    contents |= {key: bucket.get(key) for key in bucket.keys("films/") if not key.endswith("/")}
    assert sum("run.log" in name for name in contents) > 1 and any("report.html" in name for name in contents)
    assert [name for name, content in contents.items() if any(secret in content for secret in secrets)] == []
