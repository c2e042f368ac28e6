"""The `kindred` command. Heavy libraries are imported by the commands that need them, never by `--help`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.errors import ComponentError
from pipeline.errors import PipelineError
from pipeline.kubeflow import cli as kubeflow
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.local_model import LocalModel

_KNOWN = {True: "known", False: "unknown: never seen in training"}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From pairs of entities to a similarity model in production.",
)

app.command("compile")(kubeflow.compile_)
app.command("submit")(kubeflow.submit)
app.add_typer(kubeflow.schedules, name="schedule")

ModelOption = Annotated[Path, typer.Option("--model", help="A published model, or a directory of versions.")]


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The pipeline file.")],
    data: Annotated[str | None, typer.Option(help="Replaces data.path.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where everything is kept; default: build/NAME.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    beam: Annotated[str, typer.Option(help="The Beam profile.")] = "local",
    accept_anomalies: Annotated[
        str | None, typer.Option(metavar="REASON", help="Overrule the data gate, this once; REASON is recorded.")
    ] = None,
) -> None:
    """Run a pipeline on this machine: validate, train, evaluate, publish."""
    from pipeline import beam as beam_profiles
    from pipeline import conclusion, local
    from pipeline.config import load_config
    from pipeline.options import RunOptions
    from pipeline.preflight import check_inputs
    from pipeline.root import Root

    beam_profiles.options(beam)
    pipeline_config = load_config(config, set_ or (), data)
    check_inputs(pipeline_config)
    place = Root((root or Path("build", pipeline_config.name)).absolute())
    outcome = local.run(pipeline_config, place, RunOptions(beam, accept_anomalies))
    typer.echo(conclusion.describe(outcome, place), err=outcome.exit_code != 0)
    raise typer.Exit(outcome.exit_code)


@app.command()
def tune(
    config: Annotated[Path, typer.Option(help="The pipeline file; without a section `tune`, default ranges.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Replaces tune.trials.")] = None,
    data: Annotated[str | None, typer.Option(help="Replaces data.path.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where everything is kept; default: build/NAME.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")] = None,
    beam: Annotated[str, typer.Option(help="The Beam profile.")] = "local",
) -> None:
    """Search for better settings: run a pipeline up to its Tuner, and print what the trials found."""
    from pipeline import beam as beam_profiles
    from pipeline import conclusion, local
    from pipeline import trials as tried
    from pipeline.options import RunOptions
    from pipeline.preflight import check_inputs
    from pipeline.root import Root

    beam_profiles.options(beam)
    pipeline_config = tried.load_config_to_tune(config, set_ or (), data, trials)
    check_inputs(pipeline_config)
    place = Root((root or Path("build", pipeline_config.name)).absolute())
    outcome = local.run(pipeline_config, place, RunOptions(beam, until="Tuner"))
    typer.echo(conclusion.describe(outcome, place), err=True)
    if outcome.record.tuning:
        typer.echo(tried.describe(outcome.record.tuning))
    raise typer.Exit(outcome.exit_code)


@app.command()
def score(left: str, right: str, model: ModelOption) -> None:
    """Score one pair: signed score, strength, the value in the label's unit, and whether the ids are known."""
    answer = _load(model).score(os.fsencode(left), os.fsencode(right))
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
    model: ModelOption,
    side: Annotated[str, typer.Option(help="The side of the answers: left or right.")] = "right",
    k: Annotated[int, typer.Option("-k", min=0, help="How many.")] = 10,
) -> None:
    """The entities of one side that score highest with an entity of the other."""
    if side not in ("left", "right"):
        raise typer.BadParameter(f"must be left or right (got {side!r})", param_hint="--side")
    neighbors, known = _load(model).similar(side, os.fsencode(id_), k)
    if not known:
        typer.echo(f"{id_} was never seen in training: what follows is the ranking for an average entity.", err=True)
    _echo_columns(*((os.fsdecode(neighbor.id), f"{neighbor.score:+.4f}") for neighbor in neighbors))


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its folder ROOT/runs/RUN.")],
    root: Annotated[Path | None, typer.Option(help="Where the run is; default: any root in build/.")] = None,
    why: Annotated[bool, typer.Option("--why", help="Why its model was published, or was not.")] = False,
) -> None:
    """Look at a run: where its record is, or why its model was blessed or refused."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from pipeline.why import explain, find_run

    folder = find_run(run, root)
    for line in explain(folder) if why else (str(folder / "summary.json"),):
        typer.echo(os.fsencode(line))


@app.command()
def doctor() -> None:
    """Check this installation: import every component, and say how to mend what is missing."""
    from pipeline.doctor import main as diagnose

    raise typer.Exit(diagnose())


def _load(model: Path) -> LocalModel:
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
    try:
        app()
    except (ComponentError, PipelineError, ServingError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
