"""A real Flink cluster on this machine: equal results, a worker that cannot start, a lost task manager.

The module has one cluster on free ports. Its packages are in build/flink, like those of `make flink-up`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from bootstrap.flink.__main__ import FOLDER
from bootstrap.flink.cluster import FlinkCluster, Ports
from bootstrap.flink.errors import StepFailed
from bootstrap.flink.process import Process
from pipeline.beam import flink_rest
from pipeline.config import load_config
from tests.e2e.command import kindred, last_summary, states

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.flink,
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java here: Flink needs a JRE"),
    pytest.mark.skipif(shutil.which("mvn") is None, reason="there is no Maven here: Beam's job server comes from it"),
]
WORDS = Path(__file__).parents[2] / "examples" / "word_pairs" / "pipeline.yaml"
BEAM_NODES = ("PairExampleGen", "Transform", "BatchLists")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The words example's pairs, and the roots of its runs."""
    place = tmp_path_factory.mktemp("words")
    command = [sys.executable, "-m", "examples.word_pairs.make_pairs", "--output", str(place / "pairs.csv")]
    subprocess.run(command, check=True, capture_output=True, cwd=WORDS.parents[2])
    return place


@pytest.fixture(scope="module")
def here(folder: Path) -> Iterator[Future[tuple[int, str]]]:
    """The local run, concurrent with the download and start of the cluster, which mostly wait."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(run, folder, "here")


def free_ports(count: int) -> list[int]:
    """Returns ports outside the range from which the kernel chooses, so that no other test gets them before Flink."""
    found = []
    for port in random.Random().sample(range(20_000, 32_000), 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            break
    return found


@pytest.fixture(scope="module")
def cluster(here: Future[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    """A cluster. Skips the tests if its packages cannot be downloaded."""
    started = FlinkCluster(tmp_path_factory.mktemp("flink"), Ports(*free_ports(5)), fetched=FOLDER)
    try:
        started.up(print)
    except StepFailed as error:
        if "could not be downloaded" in str(error):
            pytest.skip(f"the packages of Flink cannot be had here: {error}")
        raise
    yield started
    started.down()
    assert [process.name for process in started.processes if process.running()] == []


def settings(ports: Ports, **changes: Any) -> list[str]:
    options = {
        "job_endpoint": f"localhost:{ports.jobs}",
        "flink_master": f"localhost:{ports.rest}",
        "environment_config": f"localhost:{ports.workers}",
    }
    return [f"beam.{key}={value}" for key, value in (options | changes).items()]


def run(folder: Path, root: str, *more: object) -> tuple[int, str]:
    few = ("--set", "train.epochs=3", "--set", "evaluate.bless=[{metric: rmse, better_than: baseline}]")
    few += ("--set", "batch={k: 5}")
    done = kindred("run", "--config", WORDS, "--data", folder / "pairs.csv", "--root", folder / root, *few, *more)
    return done.returncode, done.stderr


def test_flink_equals_local_result(cluster: FlinkCluster, folder: Path, here: Future[tuple[int, str]]) -> None:
    options = [word for setting in settings(cluster.ports) for word in ("--set", setting)]
    for code, output in (here.result(), run(folder, "flink", "--beam", "flink", *options)):
        assert code == 0, output
    this, there = (last_summary(folder / root) for root in ("here", "flink"))
    assert states(there) == states(this)
    assert {states(there)[node] for node in BEAM_NODES} == {"executed"}
    assert there["config"]["beam"]["profile"] == "flink"
    for split in ("train", "eval"):
        assert _examples(folder / "flink", split) == _examples(folder / "here", split)
    assert _files(folder / "flink", "StatisticsGen/statistics") == _files(folder / "here", "StatisticsGen/statistics")
    assert _vocabularies(folder / "flink") == _vocabularies(folder / "here")
    assert there["data"] == this["data"]
    assert there["metrics"] == pytest.approx(this["metrics"], rel=1e-6)
    assert there["lists"] == this["lists"]
    assert _lists(folder / "flink") == _ranking(folder / "flink")
    finished = [name for name in _finished_jobs(cluster) if not name.startswith("kindred-check")]
    assert len(finished) == len(BEAM_NODES), "each component was a job of Flink's"


def test_worker_start_error_fails_run(cluster: FlinkCluster, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").write_text("raise ImportError('no components for this worker')")
    (port,) = free_ports(1)
    broken = os.environ | {"PYTHONPATH": str(tmp_path)}
    pool = subprocess.Popen([sys.executable, "-m", "pipeline.beam.pool", f"--port={port}"], env=broken, cwd=tmp_path)
    options = settings(cluster.ports, environment_config=f"localhost:{port}")
    try:
        since = time.monotonic()
        code, output = run(folder, "broken", "--beam", "flink", *(w for setting in options for w in ("--set", setting)))
        seconds = time.monotonic() - since
    finally:
        pool.terminate()
        pool.wait()
    assert code == 1
    assert "a Beam worker could not start: ImportError: no components for this worker" in output
    assert states(last_summary(folder / "broken")) == {"ImportSchemaGen": "executed", "PairExampleGen": "failed"}
    # A minute for the worker, in addition to the import of TFX.
    assert seconds < 60 + 30


def test_lost_task_manager_keeps_results(cluster: FlinkCluster, folder: Path, here: Future[tuple[int, str]]) -> None:
    from pipeline.records.root import Root
    from pipeline.report.write import write_report
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    options = settings(cluster.ports)
    config = load_config(WORDS, options, str(folder / "pairs.csv"), "flink")
    here.result()
    killed: list[Any] = []
    killer = threading.Thread(target=_kill_in_mid_job, args=(cluster, killed))
    killer.start()
    outcome = local.run(config, Root(folder / "lost"), RunOptions(until="StatisticsGen"), write_report)
    killer.join()
    victim, job = killed
    assert victim.running() is None
    output = flink_rest._get(f"http://localhost:{cluster.ports.rest}", f"/jobs/{job}/exceptions")
    assert output["exceptionHistory"]["entries"], "the job noticed"
    if outcome.exit_code:
        # It may fail with a clear message. Then the same command resumes.
        assert outcome.record.error and "Beam" in outcome.record.error
        cluster.up(print)
        outcome = local.run(config, Root(folder / "lost"), RunOptions(until="StatisticsGen"), write_report)
    assert outcome.exit_code == 0, outcome.record.error
    for split in ("train", "eval"):
        assert _examples(folder / "lost", split) == _examples(folder / "here", split)
    assert _files(folder / "lost", "StatisticsGen/statistics") == _files(folder / "here", "StatisticsGen/statistics")
    left = [path for path in (folder / "lost" / "pipeline").rglob("*") if path.name.endswith((".staged", "work"))]
    assert left == []
    cluster.up(print)
    assert cluster.slots() >= 2, "what is left of a cluster is made whole by the command that starts one"


def _kill_in_mid_job(cluster: FlinkCluster, killed: list[Any]) -> None:
    """Kills a task manager with slots of a job without warning. Records the process and the job."""
    url, deadline = f"http://localhost:{cluster.ports.rest}", time.monotonic() + 150
    while time.monotonic() < deadline:
        jobs = [job for job in flink_rest._get(url, "/jobs/overview")["jobs"] if job["state"] == "RUNNING"]
        at_work = [job["jid"] for job in jobs if not job["name"].startswith("kindred-check")]
        managers = flink_rest._get(url, "/taskmanagers")["taskmanagers"] if at_work else []
        for manager in managers:
            if manager["freeSlots"] < manager["slotsNumber"]:
                port = int(manager["id"].split(":")[1].split("-")[0])
                (victim,) = [process for process in cluster.task_managers if port in _ports(process)]
                found = victim.running()
                assert found is not None
                found.send_signal(signal.SIGKILL)
                killed += [victim, at_work[0]]
                return
        time.sleep(0.1)


def _ports(process: Process) -> set[int]:
    found = process.running()
    return set() if found is None else {at.laddr.port for at in found.net_connections("tcp") if at.status == "LISTEN"}


def _finished_jobs(cluster: FlinkCluster) -> list[str]:
    jobs = flink_rest._get(f"http://localhost:{cluster.ports.rest}", "/jobs/overview")["jobs"]
    return [job["name"] for job in jobs if job["state"] == "FINISHED"]


def _artifact(root: Path, output: str) -> Path:
    (only,) = (root / "pipeline" / output).iterdir()
    return only


def _examples(root: Path, split: str) -> Counter[tuple[bytes, bytes, float]]:
    """Returns how often each row is in a split. Workers end in any order, so that shards differ."""
    from tests import written_examples
    from trainer.data.examples import Examples

    return Counter(written_examples.read(Examples(str(_artifact(root, "PairExampleGen/examples"))))[split])


def _files(root: Path, output: str) -> dict[str, bytes]:
    place = _artifact(root, output)
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


def _lists(root: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(root / "lists" / "current" / "right").to_pylist()
    return rows


def _ranking(root: Path) -> list[dict[str, Any]]:
    """Returns the lists of the published model, ranked here."""
    from components.batch_lists.ranking import rank
    from components.batch_lists.seen import SeenPairs
    from kindred.saved_model import SavedModel
    from trainer.data.examples import SPLITS

    seen = functools.partial(SeenPairs.of_examples, str(_artifact(root, "PairExampleGen/examples")), SPLITS, "left")
    ranking = rank(SavedModel(str(root / "serving" / "1")), "right", 5, None, seen)
    return [row for _, table in ranking.blocks(0, ranking.count) for row in table.to_pylist()]


def _vocabularies(root: Path) -> dict[str, bytes]:
    found = _files(root, "Transform/transform_graph")
    words = {name: content for name, content in found.items() if name.startswith("transform_fn/assets/")}
    assert len(words) >= 2
    return words
