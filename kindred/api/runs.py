"""Runs of pipelines: start one, and read those of a root."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import DataRefused, KindredError, ModelNotFound, ModelRefused, ReportError
from pipeline.records.history import runs_of
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

if TYPE_CHECKING:
    from kindred.api.model import Model

_REFUSALS = {"data_refused": DataRefused, "model_refused": ModelRefused, "failed": KindredError}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a pipeline.

    Attributes:
      folder: its folder, ROOT/runs/RUN, with summary.json, report.html and run.log.
      summary: the content of summary.json. Empty if that cannot be read.
    """

    folder: Path
    summary: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The id of the run. Ids sort by time."""
        return self.folder.name

    @property
    def status(self) -> str:
        """`published`, `awaiting_approval`, `data_refused`, `model_refused` or `failed`, which is also an unended run.

        `unreadable` if there is no readable record.
        """
        return str(self.summary.get("status", "unreadable"))

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics on the held-out rows by name."""
        return dict(self.summary.get("metrics", {}))

    @property
    def published(self) -> str | None:
        """The directory or the URL of the published version, or None if the run published none."""
        path = self.summary.get("published")
        return None if path is None else RunFolder(self.folder).root.place_of(path)

    @property
    def version(self) -> int | None:
        """The number of the published version, or None."""
        return None if self.published is None else int(self.published.rpartition("/")[2])

    def model(self) -> Model:
        """Loads the published model.

        Raises:
          ModelNotFound: the run published none, or the version was removed since.
        """
        from kindred.api.model import load

        if self.published is None:
            raise ModelNotFound(f"run {self.id} published no model (status {self.status}). Run.why() says why")
        return load(self.published)

    def why(self) -> str:
        """Returns why the model was published or refused: rules, figures with intervals, and the worst pairs.

        Raises:
          ReportError: the run did not reach the evaluation.
        """
        from pipeline.commands.why import explain

        folder = RunFolder(self.folder)
        folder.fetch()
        return "\n".join(explain(folder))

    def raise_for_status(self) -> Run:
        """Raises the reason of a run that was refused or failed. Otherwise, returns the run.

        Raises:
          DataRefused: the gate refused the data.
          ModelRefused: the model was not blessed, or failed the serving canary.
          KindredError: the run failed.
        """
        if self.status in _REFUSALS:
            reason = self.summary.get("error") or f"the run has not ended. Its log is {self.folder / 'run.log'}"
            raise _REFUSALS[self.status](str(reason))
        return self


def run(
    config: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    beam: str | None = None,
    accept_anomalies: str | None = None,
) -> Run:
    """Runs a pipeline on this machine, as `kindred run` does. Prints a line for each component to stderr.

    Args:
      config: the pipeline file.
      data: replaces data.path: a path or a URL.
      root: where state, records and versions are stored, a directory or a URL. Default: build/NAME.
      overrides: values by dotted key, such as `{"train.epochs": 5}`, which replace those of the file.
      beam: replaces beam.profile.
      accept_anomalies: overrules the data gate once. The reason is recorded.

    Returns:
      The run. A refusal of data or model, and a failure, is its status and no exception: see `raise_for_status`.

    Raises:
      ConfigError: the pipeline file or an override breaks a rule. The message lists every fault.
      InputError: there is no file of pairs, or a file is unreadable, is empty, or lacks a column.
      RootError: the root cannot be written, or another run uses it.
      StoreError, StoreUnavailable: an object store refuses a request, or cannot be reached.

    Example: `run("films/pipeline.yaml", overrides={"train.epochs": 5}).metrics["rmse"]`
    """
    from pipeline.beam.engine import check_engine
    from pipeline.commands.root_cli import write_report
    from pipeline.config import load_config
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    changes = [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
    settings = load_config(Path(config), changes, None if data is None else os.fspath(data), beam)
    place = Root.at(None if root is None else os.fspath(root), settings.name, settings.storage)
    from pipeline.commands.preflight import check_inputs  # imports PyArrow, after Root.at (storage/trust.py)

    check_inputs(settings, place)
    check_engine(settings.beam)
    outcome = local.run(settings, place, RunOptions(accept_anomalies), write_report)
    return Run(outcome.folder.path, outcome.folder.read_summary())


def runs(root: str | os.PathLike[str]) -> list[Run]:
    """Returns the runs of a root, oldest first.

    Args:
      root: a directory, or the URL of a root in an object store.

    Raises:
      ReportError: the root has no run.
    """
    place = Root.at(os.fspath(root), "").fetch()
    # Copies, because the records of `runs_of` are shared.
    found = [Run(entry.folder.path, copy.deepcopy(entry.summary or {})) for entry in runs_of(place)]
    if not found:
        raise ReportError(f"no run is recorded below {place}. Name the root of a pipeline, such as build/NAME")
    return found
