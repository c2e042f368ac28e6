"""Jobs for Dataflow as Beam's runner stages them, run by Beam's own worker processes in place of the service.

Needs Beam's client (`uv sync --extra cloud`) and fake-gcs-server (see test_other_stores.py).
"""

from __future__ import annotations

import contextlib
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from components.pair_example_gen.objects import with_copies
from components.pair_example_gen.settings import CopiedObjects
from errors import EngineError
from pipeline.beam import profiles
from pipeline.config.sections.beam import Beam
from storage import by_url
from storage.settings import StorageSettings
from storage.store import Store
from tests.integration.ingesting import NAMES, ingest, settings
from tests.integration.object_store.test_other_stores import running
from tests.object_store import free_port

DATAFLOW = {
    "project": "kind-red-1",
    "region": "europe-west4",
    "temp_location": "gs://planted/temp",
    "staging_location": "gs://planted/staging",
    "image": "r/kindred-dataflow:1",
    "machine_type": "n2-standard-4",
    "max_workers": 8,
    "public_ips": False,
}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store of Google with the bucket `planted`, and a machine with credentials."""
    pytest.importorskip("google.cloud.dataflow")
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    port = free_port()
    flags = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with running("fake-gcs-server", *flags, "-public-host", f"127.0.0.1:{port}", port=port) as endpoint:
        head = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/storage/v1/b", b'{"name": "planted"}', head)).close()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "kind-red-1"))
        yield


class Service:
    """Takes the place of Dataflow: reads a job from where it is staged, and runs it with processes as workers.

    Attributes:
      jobs: the descriptions of the jobs.
      graphs: their staged pipelines.
    """

    def __init__(self, folder: Path) -> None:
        self.jobs: list[Any] = []
        self.graphs: list[beam_runner_api_pb2.Pipeline] = []
        self._folder = folder

    def submit(self, job: Any) -> Any:
        from google.cloud import dataflow

        options = dict(job.proto.environment.sdk_pipeline_options)["options"]
        graph = beam_runner_api_pb2.Pipeline.FromString(by_url.read(options["pipelineUrl"]))
        self.jobs.append(job.proto)
        self.graphs.append(beam_runner_api_pb2.Pipeline.FromString(graph.SerializeToString()))
        for environment in graph.components.environments.values():
            environment.urn = python_urns.SUBPROCESS_SDK
            environment.payload = f"{sys.executable} -m apache_beam.runners.worker.sdk_worker_main".encode()
        # Workers have another working directory. What they open by a relative path is not there.
        with contextlib.chdir(self._folder):
            FnApiRunner().run_via_runner_api(graph, PipelineOptions([])).wait_until_finish()
        return dataflow.Job(id=str(len(self.jobs)), current_state=dataflow.JobState.JOB_STATE_DONE)


@pytest.fixture
def service(google: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient

    found = Service(tmp_path)
    monkeypatch.setattr(DataflowApplicationClient, "submit_job_description", lambda self, job: found.submit(job))
    monkeypatch.setattr(DataflowApplicationClient, "get_job", lambda self, job_id: _done(job_id))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return found


def _done(job_id: str) -> Any:
    from google.cloud import dataflow

    return dataflow.Job(id=job_id, current_state=dataflow.JobState.JOB_STATE_DONE)


def _arguments() -> list[str]:
    return profiles.ingest_options(Beam(profile="dataflow", dataflow=DATAFLOW))


def _wanted(tmp_path: Path, **changes: Any) -> Any:
    rows = "".join(f"l{n % 7},r{n % 11},{'bad' if n % 40 == 5 else n / 8}\n" for n in range(200))
    store = Store("gs://planted/data")
    store.write("a.csv", f"left,right,score\n{rows[: len(rows) // 2].rsplit(chr(10), 1)[0]}\n".encode())
    store.write("b.csv", f"left,right,score\n{rows}".encode())
    copied = CopiedObjects(folder=str(tmp_path / "inputs"), storage=StorageSettings())
    return with_copies(settings(NAMES, **changes).replace(path="gs://planted/data/*.csv", copied=copied), copied)


@pytest.mark.parametrize("changes", [{}, {"duplicates": "mean"}], ids=["one job", "two jobs"])
def test_staged_jobs_give_the_same_examples(service: Service, tmp_path: Path, changes: dict[str, Any]) -> None:
    wanted = _wanted(tmp_path, **changes)
    apart = ingest(Path(wanted.path), tmp_path / "apart", wanted, arguments=_arguments())
    together = ingest(Path(wanted.path), tmp_path / "together", wanted, inline=True)
    assert (sorted(apart.train), sorted(apart.eval)) == (sorted(together.train), sorted(together.eval))
    assert apart.properties == together.properties
    assert len(service.jobs) == 1 + len(changes)
    for job, graph in zip(service.jobs, service.graphs, strict=True):
        (pool,) = job.environment.worker_pools
        (image,) = pool.sdk_harness_container_images
        assert image.container_image == "r/kindred-dataflow:1"
        assert (pool.machine_type, pool.autoscaling_settings.max_num_workers) == ("n2-standard-4", 8)
        assert dict(job.environment.version)["job_type"] == "FNAPI_BATCH"
        assert not pool.packages, "workers install nothing"
        assert str(tmp_path).encode() not in graph.SerializeToString(), "no step has a path of this machine"
        environments = {graph.components.environments[t.environment_id].urn for t in _steps(graph)}
        assert environments == {"beam:env:docker:v1"}
    left = [entry.name for entry in Store("gs://planted/temp/kindred").objects() if not entry.name.endswith("/")]
    assert not left, "what workers wrote is deleted"


def _steps(graph: beam_runner_api_pb2.Pipeline) -> Iterator[beam_runner_api_pb2.PTransform]:
    return (step for step in graph.components.transforms.values() if step.environment_id)


def test_a_job_that_google_refuses_is_an_error_of_the_engine(
    google: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
    from google.api_core.exceptions import PermissionDenied

    def refuse(*_: Any) -> None:
        raise PermissionDenied("caller does not have dataflow.jobs.create")

    monkeypatch.setattr(DataflowApplicationClient, "submit_job_description", refuse)
    wanted = _wanted(tmp_path)
    with pytest.raises(EngineError, match=r"project kind-red-1.*does not have dataflow.jobs.create"):
        ingest(Path(wanted.path), tmp_path / "out", wanted, arguments=_arguments())
