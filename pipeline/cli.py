"""The `kindred` command. Commands import heavy libraries when they need them, so that `--help` is fast."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compat.process import prepare
from errors import ConfigError, DataRefused, KindredError
from kindred.terminal import say
from pipeline.commands import file_cli, model_cli, root_cli
from pipeline.commands.batch.cli import recommend
from pipeline.commands.file_cli import BeamOption, DataOption, NewRootOption
from pipeline.kubeflow import cli as kubeflow
from pipeline.kubeflow.options import RemoteAccess, Set, expand_options

if TYPE_CHECKING:
    from pipeline.commands import backfill
    from pipeline.config import PipelineConfig

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("compile")(kubeflow.compile_)
app.command("submit")(kubeflow.submit)
app.add_typer(kubeflow.schedules, name="schedule")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"kindred {importlib.metadata.version('kindred')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From pairs of entities to a similarity model in production."""


RunArgument = Annotated[
    str, typer.Argument(metavar="[RUN]", help="A run's id, or its folder ROOT/runs/RUN. Default: the latest.")
]
RunRootOption = root_cli.UsedRootOption


app.command()(file_cli.init)
app.command()(file_cli.check)


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The pipeline file.")],
    data: DataOption = None,
    root: NewRootOption = None,
    set_: Set = None,
    beam: BeamOption = None,
    accept_anomalies: Annotated[
        str | None, typer.Option(metavar="REASON", help="Overrule the data gate once. REASON is recorded.")
    ] = None,
    span: Annotated[
        str | None, typer.Option(metavar="SPAN|A..B", help="The newest span to read. A range: one run for each span.")
    ] = None,
) -> None:
    """Run a pipeline on this machine: validate, train, evaluate, publish."""
    from pipeline.beam.engine import check_engine
    from pipeline.commands import backfill, conclusion
    from pipeline.commands.preflight import check_inputs
    from pipeline.config import load_config
    from pipeline.records.root import Root
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    pipeline_config = load_config(config, set_ or (), data, beam)
    place = Root.at(root, pipeline_config.name, pipeline_config.storage)
    if span is not None:
        request = backfill.Request(config, set_ or (), data, beam, place)
        pipeline_config = _at_span(request, pipeline_config, span, accept_anomalies)
    check_inputs(pipeline_config, place)
    check_engine(pipeline_config.beam, str(place.path))
    outcome = local.run(pipeline_config, place, RunOptions(accept_anomalies, owns_process=True), root_cli.write_report)
    say(conclusion.describe(outcome, place), err=outcome.exit_code != 0)
    raise typer.Exit(outcome.exit_code)


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


@app.command()
def tune(
    config: Annotated[Path, typer.Option(help="The pipeline file. Without a section `tune`, uses default ranges.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Replaces tune.trials.")] = None,
    data: DataOption = None,
    root: NewRootOption = None,
    set_: Set = None,
    beam: BeamOption = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put the best settings into the pipeline file. Its comments stay.")
    ] = False,
) -> None:
    """Search for better settings: run a pipeline up to its Tuner, and print the trials."""
    from pipeline.beam.engine import check_engine
    from pipeline.commands import conclusion
    from pipeline.commands import trials as tried
    from pipeline.commands.preflight import check_inputs
    from pipeline.records import node_ids
    from pipeline.records.root import Root
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    pipeline_config = tried.load_config_to_tune(config, set_ or (), data, trials, beam)
    if write:
        tried.check_writable(config, set_ or ())
    place = Root.at(root, pipeline_config.name, pipeline_config.storage)
    check_inputs(pipeline_config, place)
    check_engine(pipeline_config.beam, str(place.path))
    options = RunOptions(until=node_ids.TUNER, owns_process=True)
    outcome = local.run(pipeline_config, place, options, root_cli.write_report)
    say(conclusion.describe(outcome, place), err=True)
    if outcome.record.tuning:
        say(tried.describe(outcome.record.tuning))
        if write:
            say(tried.write(config, outcome.record.tuning))
    raise typer.Exit(outcome.exit_code)


app.command()(model_cli.score)
app.command()(model_cli.similar)
app.command()(model_cli.neighbors)
app.command()(recommend)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(model_cli.serve)


@app.command()
def rollback(
    root: model_cli.RootOption,
    to: Annotated[
        str, typer.Option(help="The directory of versions, relative to the root, or a URL (publish.to).")
    ] = "serving",
    version: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Serve version N, published or withdrawn. Withdraw newer ones."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Serve the version that was rolled back last again.")] = False,
    reason: Annotated[str, typer.Option(help="The reason, which is recorded.")] = "",
) -> None:
    """Serve the previous version again, or another one. The metadata of the root records it."""
    from pipeline.commands.rollback import roll_back
    from pipeline.records.root import Root

    say(roll_back(Root.at(root, "").fetch(), to, undo, reason, version, root_cli.write_report))


@app.command()
@expand_options
def report(
    access: RemoteAccess,
    run: RunArgument = "latest",
    root: RunRootOption = None,
    why: Annotated[bool, typer.Option("--why", help="Print why its model was published or refused.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    output: Annotated[Path | None, typer.Option(help="With --host: the file. Default: report-RUN.html.")] = None,
) -> None:
    """Show a run: the path of its report, or why its model was blessed or refused. With --host, download the report."""
    from pipeline.commands import remote

    is_remote = remote.check(root, access)
    if is_remote and why:
        raise ConfigError("--why: needs the root of the run. The report has the same figures; omit --why")
    if not is_remote and output is not None:
        raise ConfigError("--output: is for --host. The report of a run here is in its folder; omit --output")
    path = remote.download_report(access, run, output) if is_remote else root_cli.report_here(run, root, why)
    if path is None:
        return
    say(path)
    if open_:
        typer.launch(path.absolute().as_uri())


app.command()(root_cli.runs)
app.command()(root_cli.compare)
app.command()(root_cli.versions)
app.command()(root_cli.verify)
app.command()(root_cli.approve)
app.command()(root_cli.prune)


@app.command()
def monitor(
    log: Annotated[str, typer.Option(metavar="PREFIX", help="How the paths or URLs of the log files begin.")],
    root: model_cli.RootOption,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare logged requests of a served model with its training data. Exit code 3 beyond the bounds of the gate."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import of TensorFlow
    from pipeline.commands.monitor.command import monitor as compare_log
    from pipeline.records.root import Root

    text, broken = compare_log(log, Root.at(root, "").fetch(), json_)
    say(text)
    for words in broken:
        say(words, err=True)
    raise typer.Exit(DataRefused.exit_code if broken else 0)


@app.command()
def lineage(
    run: RunArgument = "latest",
    root: RunRootOption = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the data, code, configuration and parent of the model of a run."""
    from pipeline.commands.lineage_tree import print_lineage

    print_lineage(run, root, json_)


@app.command()
def doctor() -> None:
    """Check this installation: import every module, load every node of a complete graph, and suggest fixes."""
    from pipeline.commands.doctor import main as diagnose

    raise typer.Exit(diagnose())


def main() -> None:
    """Runs the command. A user's mistake prints a sentence to stderr and sets the exit code."""
    prepare()
    try:
        app()
    except KindredError as error:
        say(f"error: {error}", err=True)
        sys.exit(error.exit_code)
