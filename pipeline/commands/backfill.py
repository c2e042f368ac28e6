"""Runs a pipeline for each span of a range, oldest first, as one run each."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.pair_example_gen.objects import choose_spans
from components.pair_example_gen.settings import SpanSettings
from components.pair_example_gen.source import has_span
from components.pair_example_gen.spans import label
from errors import ConfigError
from kindred.invocation import command
from pipeline.config import PipelineConfig, copied_objects, load_config
from pipeline.config.span_range import SpanRange
from pipeline.records.root import Root
from pipeline.running.stopping import run_child


def spans_between(config: PipelineConfig, wanted: SpanRange) -> list[str]:
    """Returns the spans of `data.path` in the range, oldest first, as people write them.

    Raises:
      ConfigError: the path has no span.
      InputError: no span is in the range, or the range is of numbers and the spans are dates, or the reverse.
    """
    if not has_span(config.data.path):
        raise ConfigError(
            f"--span: data.path has no span (got {config.data.path!r}). Write {{SPAN}} in it, or omit --span"
        )
    bounds = SpanSettings.model_validate(dataclasses.asdict(wanted))
    data = config.data.model_copy(update={"spans": bounds})
    spans = choose_spans(data, copied_objects(config, "inputs"))
    return [label(span.number, has_dates="{YYYY}" in data.path) for span in spans]


@dataclasses.dataclass(frozen=True)
class Request:
    """What to run for each span.

    Attributes:
      file: the pipeline file.
      settings: values of `--set`.
      data: replaces `data.path`, or None.
      beam: replaces `beam.profile`, or None.
      root: of all runs.
    """

    file: Path
    settings: Sequence[str]
    data: str | None
    beam: str | None
    root: Root

    def config_at(self, span: str) -> PipelineConfig:
        """Returns the configuration of the run whose newest span is `span`."""
        spans = load_config(self.file, self.settings, self.data).data.spans
        # A section of the file replaces the defaults, of which the one latest span is part.
        latest = "null" if spans.latest is None else spans.latest
        settings = [*self.settings, f"data.spans.last={span}", f"data.spans.latest={latest}"]
        return load_config(self.file, settings, self.data, self.beam)

    def command_at(self, span: str) -> list[str]:
        """Returns the arguments of `kindred` that run `span` alone."""
        words = ["run", "--config", str(self.file), "--root", str(self.root), "--span", span]
        for option, value in (("--data", self.data), ("--beam", self.beam)):
            words += [option, value] if value is not None else []
        return words + [word for setting in self.settings for word in ("--set", setting)]


def backfill(request: Request, spans: Sequence[str], say: Callable[[str], None]) -> int:
    """Runs the spans one after the other, each in a process of its own.

    A span whose model is published already with the same configuration is left out, so that the same command continues
    after an interruption. The first run that does not publish ends the backfill.

    Args:
      request: what to run.
      spans: the spans in order.
      say: prints a line.

    Returns:
      The exit code of the last run, or 0.
    """
    published = _published(request.root.fetch())
    for number, span in enumerate(spans, start=1):
        config = request.config_at(span).to_json()
        where = f"span {span} ({number} of {len(spans)})"
        done = next((record for record in published if record["config"] == config), None)
        if done is not None:
            say(f"{where}: run {done['run_id']} has published {done['published']}")
            continue
        say(f"{where}: runs")
        words = request.command_at(span)
        code = run_child([sys.executable, "-m", "kindred", *words])
        if code:
            return _stop(where, code, words, say)
    say(f"{len(spans)} spans are published")
    return 0


def _stop(where: str, code: int, words: Sequence[str], say: Callable[[str], None]) -> int:
    code = 128 - code if code < 0 else code
    say(
        f"{where}: ended with exit code {code}, so the backfill stops. Give the same command again to continue. "
        f"`{command(*words)}` runs this span alone"
    )
    return code


def _published(root: Root) -> list[dict[str, Any]]:
    """Returns the records of all runs of the root that published a model, newest first."""
    found = []
    for path in sorted(root.runs.glob("*/summary.json"), reverse=True):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("status") == "published":
            found.append(record)
    return found
