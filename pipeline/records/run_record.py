"""What a run leaves behind for machines: summary.json, written while the run goes on and whole at any moment."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pipeline.config import PipelineConfig

Status = Literal["running", "published", "tuned", "data_refused", "model_refused", "failed"]
State = Literal["executed", "cached", "skipped", "failed"]

EXIT_CODES: dict[Status, int] = {"published": 0, "tuned": 0, "data_refused": 3, "model_refused": 4, "failed": 1}
_REPORTED_VERSIONS = ("kindred", "tfx", "tensorflow", "keras", "tensorflow-transform", "apache-beam")


@dataclasses.dataclass
class RunRecord:
    """The fields of summary.json, filled in as the run goes on; what a run does not compute stays absent."""

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
    warm_start: dict[str, Any] | None = None
    blessed: bool = False
    blessing: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    evaluation: str | None = None
    """Where the Evaluator's findings are, below the root."""
    published: str | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: library_versions())
    error: str | None = None
    frequent_pair: tuple[str, str] = ("LEFT", "RIGHT")
    """The most frequent entity of each side, for examples to people; not part of summary.json."""

    @classmethod
    def begin(cls, config: PipelineConfig, run_id: str) -> RunRecord:
        """The record of a run that has not yet done anything."""
        return cls(pipeline=config.name, run_id=run_id, config=config.to_json())

    def write(self, path: Path, since: float) -> None:
        """Writes summary.json beside itself and renames it; `since` is the `time.monotonic` of the start."""
        self.seconds = round(time.monotonic() - since, 3)
        content = dataclasses.asdict(self)
        del content["frequent_pair"]
        for name in ("error", "evaluation", "tuning", "warm_start"):
            if content[name] is None:
                del content[name]
        # Tasks of one run write it at the same time, each in a container whose process ids are those of the others.
        staged = path.with_suffix(f".{uuid.uuid4().hex}.staged")
        staged.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(staged, path)


def library_versions() -> dict[str, str]:
    """Python and the libraries whose versions decide what a run computes."""
    versions = {"python": platform.python_version()}
    return versions | {name: importlib.metadata.version(name) for name in _REPORTED_VERSIONS}
