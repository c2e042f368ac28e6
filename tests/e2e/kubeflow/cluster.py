"""The parts of a cluster in tests: a volume, ML Metadata as a service, and packages compiled by the command."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e import planted
from tests.e2e.command import kindred
from tests.e2e.kubeflow.interpreter import Interpreter, RunResult


class Volume:
    """The volume that all tasks mount, with planted data and the files of runs."""

    def __init__(self, path: Path, metadata: dict[str, Any]) -> None:
        self.path, self._metadata = path, metadata
        self._pipeline = planted.write_pipeline(path).read_text(encoding="utf-8")

    @property
    def root(self) -> Path:
        return self.path / "planted"

    def package(self, name: str = "package", data: str = "pairs.csv", **kubeflow: Any) -> Interpreter:
        """The package of the planted pipeline."""
        section = {
            "volumes": [{"claim": "kindred", "mount": str(self.path)}],
            "metadata": self._metadata,
            "task": {"retries": 1},
            **kubeflow,
        }
        config, package = self.path / f"{name}.yaml", self.path / f"{name}-package.yaml"
        config.write_text(self._pipeline.replace("pairs.csv", data) + f"kubeflow: {json.dumps(section)}\n")
        done = kindred("compile", "--config", config, "--output", package)
        assert done.returncode == 0, done.stderr
        return Interpreter(package.read_text(), self.path / "kfp", release="2.16")

    def write_pairs(self, name: str, rows: slice = slice(None), prefix: str = "") -> Path:
        """Returns some of the planted rows, with ids that begin with `prefix`."""
        header, *lines = (self.path / "pairs.csv").read_text(encoding="utf-8").splitlines()
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *(prefix + line for line in lines[rows])]) + "\n", encoding="utf-8")
        return path

    def summary(self, run_id: str) -> dict[str, Any]:
        return json.loads((self.root / "runs" / run_id / "summary.json").read_text(encoding="utf-8"))

    def report(self, run_id: str) -> str:
        return (self.root / "runs" / run_id / "report.html").read_text(encoding="utf-8")

    @property
    def published(self) -> list[str]:
        serving = self.root / "serving"
        return sorted(path.name for path in serving.iterdir()) if serving.is_dir() else []


def new_run_id() -> str:
    return str(uuid.uuid4())


def check_succeeded(result: RunResult) -> None:
    assert result.state == "SUCCEEDED", result.log


@contextlib.contextmanager
def metadata_service(folder: Path) -> Iterator[int]:
    """Runs ML Metadata like deploy/kubeflow, on SQLite. Yields its port."""
    command = [sys.executable, "-m", "pipeline.kubeflow.metadata_service", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen([*command, "--sqlite", folder / "mlmd.sqlite"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().split()[-1])
    finally:
        process.terminate()
        assert process.wait(20) == 0
