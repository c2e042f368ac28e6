"""The machine-readable record of a run: summary.json, complete at any time during the run."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from compat.distributions import version
from pipeline.config import PipelineConfig

Status = Literal["running", "published", "tuned", "awaiting_approval", "data_refused", "model_refused", "failed"]
EndState = Literal["executed", "cached", "skipped", "failed"]

EXIT_CODES: dict[Status, int] = {
    "published": 0,
    "tuned": 0,
    "failed": 1,
    "data_refused": 3,
    "model_refused": 4,
    "awaiting_approval": 5,
}
_REPORTED_VERSIONS = ("kindred", "tfx", "tensorflow", "keras", "tensorflow-transform", "apache-beam")


@dataclasses.dataclass
class RunRecord:
    """The fields of summary.json. Values that a run does not compute stay absent.

    Attributes:
      pipeline: name of the pipeline.
      run_id: id of the run.
      config: configuration as a JSON-compatible tree.
      status: result of the run. `failed` until it ends.
      started: start time, ISO 8601 in UTC.
      seconds: duration in seconds.
      components: name, state and duration of each component.
      data: counts of rows and entities.
      metrics: value of each metric on all held-out rows.
      tuning: results of the Tuner.
      search: the settings that the Trainer tried and chose.
      warm_start: the Trainer's notes about the warm start.
      approximate: the index of approximate rankings, and the recall of each of them on a sample.
      blessed: whether the model is blessed.
      blessing: result of each blessing rule.
      evaluation: path of the Evaluator's output, relative to the root.
      replay: the comparison with the served version on logged requests.
      published: path or URL of the published version.
      awaiting: number of the version that awaits approval.
      lists: the folder of the lists of all entities, and their numbers.
      versions: version of each library.
      error: reason of a failure.
      frequent_pair: the most frequent entity of each side, for examples in messages. Not part of summary.json.
    """

    pipeline: str
    run_id: str
    config: dict[str, Any]
    status: Status = "failed"
    started: str = dataclasses.field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    seconds: float = 0.0
    components: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    tuning: dict[str, Any] | None = None
    search: dict[str, Any] | None = None
    warm_start: dict[str, Any] | None = None
    approximate: dict[str, Any] | None = None
    blessed: bool = False
    blessing: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    evaluation: str | None = None
    replay: dict[str, Any] | None = None
    published: str | None = None
    awaiting: int | None = None
    lists: dict[str, Any] | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: library_versions())
    error: str | None = None
    frequent_pair: tuple[str, str] = ("LEFT", "RIGHT")

    @classmethod
    def begin(cls, config: PipelineConfig, run_id: str) -> RunRecord:
        """Returns the record of a new run."""
        return cls(pipeline=config.name, run_id=run_id, config=config.to_json())

    def write(self, path: Path, since: float) -> None:
        """Writes summary.json to a staged file and renames it. `since` is the `time.monotonic` of the start."""
        self.seconds = round(time.monotonic() - since, 3)
        content = dataclasses.asdict(self)
        del content["frequent_pair"]
        for name in (
            "approximate",
            "awaiting",
            "error",
            "evaluation",
            "lists",
            "replay",
            "search",
            "tuning",
            "warm_start",
        ):
            if content[name] is None:
                del content[name]
        # Tasks of a run write concurrently, in containers with overlapping process ids.
        staged = path.with_suffix(f".{uuid.uuid4().hex}.staged")
        staged.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(staged, path)


def library_versions() -> dict[str, str]:
    """Returns the versions of Python and of the libraries that affect results."""
    versions = {"python": platform.python_version()}
    return versions | {name: version(name) for name in _REPORTED_VERSIONS}
