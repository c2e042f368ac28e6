"""The `kindred` command. Commands import heavy libraries when they need them, so that `--help` is fast."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from compat.process import prepare
from errors import ConfigError, DataRefused, KindredError
from kindred.terminal import say, show_exception
from pipeline.commands import file_cli, model_cli, narrow_help, root_cli, run_cli
from pipeline.commands.batch.cli import recommend
from pipeline.kubeflow import cli as kubeflow
from pipeline.kubeflow.options import RemoteAccess, expand_options
from pipeline.kubeflow.schedule_cli import schedules
from pipeline.options import JsonOption, NamedRootOption, RunArgument, UsedRootOption, say_json

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("compile")(kubeflow.compile_)
app.command("submit")(kubeflow.submit)
app.add_typer(schedules, name="schedule")


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


app.command()(file_cli.init)
app.command()(file_cli.check)
app.command()(run_cli.run)
app.command()(run_cli.tune)
app.command()(model_cli.score)
app.command()(model_cli.similar)
app.command()(model_cli.neighbors)
app.command()(recommend)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(model_cli.serve)


@app.command()
def rollback(
    root: NamedRootOption,
    to: Annotated[
        str, typer.Option(help="The directory of versions, relative to the root, or a URL (publish.to).")
    ] = "serving",
    version: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Serve version N, published or withdrawn. Withdraw newer ones."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Serve the version that was rolled back last again.")] = False,
    reason: Annotated[str, typer.Option(help="The reason, which is recorded.")] = "",
    json_: JsonOption = False,
) -> None:
    """Serve the previous version again, or another one. The metadata of the root records it."""
    from pipeline.commands.rollback import roll_back
    from pipeline.records.root import Root

    done = roll_back(Root.at(root, "").fetch(), to, undo, reason, version, root_cli.write_report)
    if json_:
        say_json(done.to_json())
    else:
        say(done.describe())


@app.command()
@expand_options
def report(
    access: RemoteAccess,
    run: RunArgument = "latest",
    root: UsedRootOption = None,
    why: Annotated[bool, typer.Option("--why", help="Print why its model was published or refused.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    output: Annotated[Path | None, typer.Option(help="With --host: the file. Default: report-RUN.html.")] = None,
    json_: JsonOption = False,
) -> None:
    """Show a run: the path of its report, or why its model was blessed or refused. With --host, download the report."""
    from pipeline.commands import remote

    is_remote = remote.check(root, access)
    if is_remote and why:
        raise ConfigError("--why: needs the root of the run. The report has the same figures; omit --why")
    if not is_remote and output is not None:
        raise ConfigError("--output: is for --host. The report of a run here is in its folder; omit --output")
    path = remote.download_report(access, run, output) if is_remote else root_cli.report_here(run, root, why, json_)
    if path is None:
        return
    if json_:
        say_json({"report": str(path)})
    else:
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
    root: NamedRootOption,
    json_: JsonOption = False,
) -> None:
    """Compare logged requests of a served model with its training data. Exit code 3 beyond the bounds of the gate."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import of TensorFlow
    from pipeline.commands.monitor.command import monitor as compare_log
    from pipeline.records.root import Root

    text, broken = compare_log(log, Root.at(root, "").fetch(), json_, lambda words: say(f"warning: {words}", err=True))
    say(text, fit=not json_)
    for words in broken:
        say(words, err=True)
    raise typer.Exit(DataRefused.exit_code if broken else 0)


@app.command()
def watch(
    root: NamedRootOption,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Replaces publish.watch.minutes.")] = None,
    json_: JsonOption = False,
) -> None:
    """Watch the newest version on its server as publish.watch says. Roll it back if it breaks a bound (exit code 4)."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import of TensorFlow
    from pipeline.commands.watch.command import settings_of, watch_newest
    from pipeline.records.root import Root

    place = Root.at(root, "").fetch()
    settings = settings_of(place)
    settings = settings if minutes is None else settings.replace(minutes=minutes)
    watched = watch_newest(place, settings, root_cli.write_report, lambda words: say(f"warning: {words}", err=True))
    if json_:
        say_json(watched.to_json())
    else:
        say(watched.describe())
    raise typer.Exit(watched.exit_code)


@app.command()
def lineage(
    run: RunArgument = "latest",
    root: UsedRootOption = None,
    json_: JsonOption = False,
) -> None:
    """Show the data, code, configuration and parent of the model of a run."""
    from pipeline.commands.lineage_tree import print_lineage

    print_lineage(run, root, json_)


@app.command()
def doctor(json_: JsonOption = False) -> None:
    """Check this installation: import every module, load every node of a complete graph, and suggest fixes."""
    from pipeline.commands.doctor import main as diagnose

    raise typer.Exit(diagnose(json_))


def _run() -> None:
    command, width = typer.main.get_command(app), shutil.get_terminal_size().columns
    if width < narrow_help.WIDTH:
        narrow_help.fit_help(command, width)
    command()


def main() -> None:
    """Runs the command. A user's mistake prints a sentence to stderr and sets the exit code."""
    prepare()
    sys.excepthook = show_exception
    try:
        _run()
    except KindredError as error:
        say(f"error: {error}", err=True)
        sys.exit(error.exit_code)
