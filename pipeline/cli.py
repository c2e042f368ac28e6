"""The `kindred` command. Heavy libraries are imported by the commands that need them, never by `--help`."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compat.process import prepare
from errors import KindredError, ModelNotFound
from pipeline.kubeflow import cli as kubeflow

if TYPE_CHECKING:
    from pipeline.records.run_folder import RunFolder
    from serving.answers import Model

_KNOWN = {True: "known", False: "unknown: never seen in training"}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("compile")(kubeflow.compile_)
app.command("submit")(kubeflow.submit)
app.add_typer(kubeflow.schedules, name="schedule")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kindred {importlib.metadata.version('kindred')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From pairs of entities to a similarity model in production."""


ModelOption = Annotated[Path | None, typer.Option("--model", help="A published model, or a directory of versions.")]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint", metavar="URL", help="A served model: http://HOST:PORT/v1/models/NAME, grpc://HOST:PORT/NAME."
    ),
]
BeamOption = Annotated[
    str | None,
    typer.Option(
        metavar="PROFILE", help="Where rows are read: local, flink, spark or dataflow; default: beam.profile."
    ),
]
DataOption = Annotated[str | None, typer.Option(help="Replaces data.path.")]
NewRootOption = Annotated[Path | None, typer.Option(help="Where everything is kept; default: build/NAME.")]
RootOption = Annotated[Path, typer.Option(help="The root of a pipeline's runs, such as build/NAME.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="[RUN]", help="A run's id, or its folder ROOT/runs/RUN; default: the latest.")
]
RunRootOption = Annotated[Path | None, typer.Option("--root", help="Where the run is; default: any root in build/.")]


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The pipeline file.")],
    data: DataOption = None,
    root: NewRootOption = None,
    set_: kubeflow.Set = None,
    beam: BeamOption = None,
    accept_anomalies: Annotated[
        str | None, typer.Option(metavar="REASON", help="Overrule the data gate, this once; REASON is recorded.")
    ] = None,
) -> None:
    """Run a pipeline on this machine: validate, train, evaluate, publish."""
    from pipeline.beam.engine import check_engine
    from pipeline.commands import conclusion
    from pipeline.commands.preflight import check_inputs
    from pipeline.config import load_config
    from pipeline.records.root import Root
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    pipeline_config = load_config(config, set_ or (), data, beam)
    place = Root.at(root, pipeline_config.name)
    check_inputs(pipeline_config)
    check_engine(pipeline_config.beam, str(place.path))
    outcome = local.run(pipeline_config, place, RunOptions(accept_anomalies), _write_report)
    typer.echo(conclusion.describe(outcome, place), err=outcome.exit_code != 0)
    raise typer.Exit(outcome.exit_code)


@app.command()
def tune(
    config: Annotated[Path, typer.Option(help="The pipeline file; without a section `tune`, default ranges.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Replaces tune.trials.")] = None,
    data: DataOption = None,
    root: NewRootOption = None,
    set_: kubeflow.Set = None,
    beam: BeamOption = None,
) -> None:
    """Search for better settings: run a pipeline up to its Tuner, and print what the trials found."""
    from pipeline.beam.engine import check_engine
    from pipeline.commands import conclusion
    from pipeline.commands import trials as tried
    from pipeline.commands.preflight import check_inputs
    from pipeline.records.root import Root
    from pipeline.running import local
    from pipeline.running.options import RunOptions

    pipeline_config = tried.load_config_to_tune(config, set_ or (), data, trials, beam)
    place = Root.at(root, pipeline_config.name)
    check_inputs(pipeline_config)
    check_engine(pipeline_config.beam, str(place.path))
    outcome = local.run(pipeline_config, place, RunOptions(until="Tuner"), _write_report)
    typer.echo(conclusion.describe(outcome, place), err=True)
    if outcome.record.tuning:
        typer.echo(tried.describe(outcome.record.tuning))
    raise typer.Exit(outcome.exit_code)


@app.command()
def score(left: str, right: str, model: ModelOption = None, endpoint: EndpointOption = None) -> None:
    """Score one pair: signed score, strength, the value in the label's unit, and whether the ids are known."""
    answer = _model(model, endpoint).score(os.fsencode(left), os.fsencode(right))
    meaning = "similar" if answer.score > 0 else "dissimilar" if answer.score < 0 else "neither"
    _echo_columns(
        ("score", f"{answer.score:+.4f}", meaning),
        ("strength", f"{answer.strength:.4f}", "the score without its sign"),
        ("value", f"{answer.value:.4f}", "in the unit of the training scores"),
        ("left", left, _KNOWN[answer.left_known]),
        ("right", right, _KNOWN[answer.right_known]),
    )


@app.command()
def similar(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    side: Annotated[str, typer.Option(help="The side of the answers: left or right.")] = "right",
    k: Annotated[int, typer.Option("-k", min=0, help="How many.")] = 10,
) -> None:
    """The entities of one side that score highest with an entity of the other."""
    if side not in ("left", "right"):
        raise typer.BadParameter(f"must be left or right (got {side!r})", param_hint="--side")
    neighbors, known = _model(model, endpoint).similar(side, os.fsencode(id_), k)
    if not known:
        typer.echo(f"{id_} was never seen in training: what follows is the ranking for an average entity.", err=True)
    _echo_columns(*((os.fsdecode(neighbor.id), f"{neighbor.score:+.4f}") for neighbor in neighbors))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    root: RootOption,
    to: Annotated[str, typer.Option(help="The directory of versions below the root (publish.to).")] = "serving",
    name: Annotated[str | None, typer.Option(help="The model's name; default: that of the root.")] = None,
    rest_port: Annotated[int, typer.Option(help="The port of REST.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="The port of gRPC.")] = 8500,
) -> None:
    """Serve the published versions of a root; more flags go to kindred-model-server as they stand."""
    from serving.model_server.main import main as serve_models

    directory = (root / to).absolute()
    if not directory.is_dir():
        raise ModelNotFound(f"--root {root}: {directory} is no directory; `kindred run` publishes to ROOT/serving")
    model_name = name or root.absolute().name
    flags = [f"--rest_api_port={rest_port}", f"--port={grpc_port}", f"--model_name={model_name}"]
    serve_models([*flags, f"--model_base_path={directory}", *context.args])


@app.command()
def rollback(
    root: RootOption,
    to: Annotated[
        str, typer.Option(help="The directory of versions: below the root, or a URL (publish.to).")
    ] = "serving",
    undo: Annotated[bool, typer.Option("--undo", help="Serve the version again that was rolled back last.")] = False,
    reason: Annotated[str, typer.Option(help="Why; recorded.")] = "",
) -> None:
    """Serve the version before the newest again; recorded in the root's metadata."""
    from pipeline.commands.rollback import roll_back
    from pipeline.records.root import Root

    typer.echo(roll_back(Root(root.absolute()), to, undo, reason))


@app.command()
def report(
    run: RunArgument = "latest",
    root: RunRootOption = None,
    why: Annotated[bool, typer.Option("--why", help="Print why its model was published, or was not.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Look at a run: its report, or why its model was blessed or refused."""
    from pipeline.records.find_run import find_run
    from pipeline.records.progress import headline, may_have_changed

    folder = find_run(run, root)
    if why:
        from pipeline.commands.why import explain

        for line in explain(folder):
            typer.echo(os.fsencode(line))
        return
    path = folder.report
    unfinished = may_have_changed(folder)
    if unfinished:
        typer.echo(headline(folder), err=True)
    if unfinished or not path.is_file():
        from pipeline.running.console import library_chatter_to

        with library_chatter_to(folder.log):
            from pipeline.report.write import write_report

            write_report(folder)
    typer.echo(os.fsencode(path))
    if open_:
        typer.launch(path.absolute().as_uri())


@app.command()
def lineage(
    run: RunArgument = "latest",
    root: RunRootOption = None,
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Which data, code, configuration and parent made the model of a run."""
    from pipeline.commands.lineage_tree import print_lineage

    print_lineage(run, root, json_)


@app.command()
def doctor() -> None:
    """Check this installation: import every module, load every node of a whole graph, and suggest fixes."""
    from pipeline.commands.doctor import main as diagnose

    raise typer.Exit(diagnose())


def _write_report(folder: RunFolder) -> None:
    """Writes the report of a run. Its libraries are imported at the end of the run, not at its start."""
    from pipeline.report.write import write_report

    write_report(folder)


def _model(model: Path | None, endpoint: str | None) -> Model:
    """The model that the options name: one of them, and not both."""
    if (model is None) == (endpoint is None):
        raise typer.BadParameter("give one of the two", param_hint="--model / --endpoint")
    if endpoint is None:
        assert model is not None
        return _load(model)
    from serving.endpoint import Endpoint

    return Endpoint(endpoint)


def _load(model: Path) -> Model:
    from serving.store import find_model

    found = find_model(model)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Imports TensorFlow, seconds that a wrong path does not cost.
    from serving.local_model import LocalModel

    return LocalModel(found)


def _echo_columns(*rows: tuple[str, ...]) -> None:
    """Rows of cells, each column as wide as its widest cell; never cut, so that scripts can read them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        typer.echo(os.fsencode(line))  # an id is bytes, and not always text


def main() -> None:
    """Entry point: a user's mistake is a sentence on stderr and an exit code, never a traceback."""
    prepare()
    try:
        app()
    except KindredError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
