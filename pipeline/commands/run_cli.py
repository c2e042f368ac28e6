"""The commands that run a pipeline on this machine: `run` and `tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from errors import ConfigError
from kindred.terminal import say
from pipeline.commands import root_cli
from pipeline.options import (
    BeamOption,
    ConfigOption,
    DataOption,
    JsonOption,
    NewRootOption,
    QuietOption,
    SetOption,
    say_json,
)

if TYPE_CHECKING:
    from pipeline.commands import backfill
    from pipeline.config import PipelineConfig
    from pipeline.records.root import Root
    from pipeline.running.local import RunOutcome


def run(
    config: ConfigOption,
    data: DataOption = None,
    root: NewRootOption = None,
    set_: SetOption = None,
    beam: BeamOption = None,
    accept_anomalies: Annotated[
        str | None, typer.Option(metavar="REASON", help="Overrule the data gate once. REASON is recorded.")
    ] = None,
    span: Annotated[
        str | None, typer.Option(metavar="SPAN|A..B", help="The newest span to read. A range: one run for each span.")
    ] = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a pipeline on this machine: validate, train, evaluate, publish."""
    from pipeline.beam.engine import check_engine
    from pipeline.commands import backfill, conclusion
    from pipeline.config import load_config
    from pipeline.records.root import Root
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    pipeline_config = load_config(config, set_ or (), data, beam)
    place = Root.at(root, pipeline_config.name, pipeline_config.storage)
    if span is not None:
        request = backfill.Request(config, set_ or (), data, beam, place)
        pipeline_config = _at_span(request, pipeline_config, span, accept_anomalies)
    from pipeline.commands.preflight import check_inputs  # imports PyArrow, after Root.at (storage/trust.py)

    check_inputs(pipeline_config, place)
    check_engine(pipeline_config.beam)
    outcome = local.run(
        pipeline_config, place, RunOptions(accept_anomalies, owns_process=True, quiet=quiet), root_cli.write_report
    )
    if not json_ and (not quiet or outcome.exit_code):
        say(conclusion.describe(outcome, place), err=outcome.exit_code != 0)
    exit_code = outcome.exit_code or _watch(pipeline_config, place, outcome, quiet)
    if json_:
        say_json(outcome.folder.read_summary())
    raise typer.Exit(exit_code)


def _watch(config: PipelineConfig, root: Root, outcome: RunOutcome, quiet: bool) -> int:
    """Watches a new version as section `publish.watch` says. Returns the exit code of the run.

    A version that could not be watched stays published.
    """
    from pipeline.records import node_ids

    settings, pushed = config.publish.watch, {"id": node_ids.PUSHER, "state": "executed"}
    if settings is None or not any(pushed.items() <= node.items() for node in outcome.record.components):
        return outcome.exit_code
    from pipeline.commands.watch.command import watch_newest

    if not quiet:
        say(f"watching the version for {settings.minutes:g} minutes. Ctrl-C stops the watch and keeps it", err=True)
    watched = watch_newest(root, settings, root_cli.write_report, lambda text: say(f"warning: {text}", err=True))
    if not quiet or watched.state != "kept":
        say(watched.describe(), err=True)
    return 0 if watched.state == "not_watched" else watched.exit_code


def _at_span(
    request: backfill.Request, config: PipelineConfig, span: str, accept_anomalies: str | None
) -> PipelineConfig:
    """Returns the configuration of one span. Runs a range of spans, and exits."""
    from pipeline.commands import backfill
    from pipeline.config.span_range import SpanRange

    wanted = SpanRange.parse(span)
    spans = backfill.spans_between(config, wanted)
    if wanted.is_one:
        return request.config_at(spans[0])
    if accept_anomalies is not None:
        raise ConfigError(f"--accept-anomalies: overrules the gate for one run. Give it with one span (got {span!r})")
    raise typer.Exit(backfill.backfill(request, spans, lambda text: say(text, err=True)))


def tune(
    config: Annotated[Path, typer.Option(help="The pipeline file. Without a section `tune`, uses default ranges.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Replaces tune.trials.")] = None,
    data: DataOption = None,
    root: NewRootOption = None,
    set_: SetOption = None,
    beam: BeamOption = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put the best settings into the pipeline file. Its comments stay.")
    ] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search for better settings: run a pipeline up to its Tuner, and print the trials."""
    from pipeline.beam.engine import check_engine
    from pipeline.commands import conclusion
    from pipeline.commands import trials as tried
    from pipeline.records import node_ids
    from pipeline.records.root import Root
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    pipeline_config = tried.load_config_to_tune(config, set_ or (), data, trials, beam)
    if write:
        tried.check_writable(config, set_ or ())
    place = Root.at(root, pipeline_config.name, pipeline_config.storage)
    from pipeline.commands.preflight import check_inputs  # imports PyArrow, after Root.at (storage/trust.py)

    check_inputs(pipeline_config, place)
    check_engine(pipeline_config.beam)
    outcome = local.run(
        pipeline_config, place, RunOptions(until=node_ids.TUNER, owns_process=True, quiet=quiet), root_cli.write_report
    )
    if not quiet or outcome.exit_code:
        say(conclusion.describe(outcome, place), err=True)
    if json_:
        say_json(outcome.folder.read_summary())
    if outcome.record.tuning:
        if not json_:
            say(tried.describe(outcome.record.tuning))
        if write:
            say(tried.write(config, outcome.record.tuning), err=json_)
    raise typer.Exit(outcome.exit_code)
