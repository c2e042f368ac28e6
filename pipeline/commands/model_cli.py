"""The commands that use a published model: `score`, `similar` and `serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from errors import ModelNotFound

if TYPE_CHECKING:
    from serving.answers import ModelClient

_KNOWN = {True: "known", False: "unknown: not in training"}

ModelOption = Annotated[Path | None, typer.Option("--model", help="A published model, or a directory of versions.")]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint", metavar="URL", help="A served model: http://HOST:PORT/v1/models/NAME, grpc://HOST:PORT/NAME."
    ),
]
RootOption = Annotated[Path, typer.Option(help="The root of a pipeline's runs, such as build/NAME.")]


def score(left: str, right: str, model: ModelOption = None, endpoint: EndpointOption = None) -> None:
    """Score one pair: signed score, strength, the value in the unit of the label, and whether the ids are known."""
    answer = _model(model, endpoint).score(os.fsencode(left), os.fsencode(right))
    meaning = "similar" if answer.score > 0 else "dissimilar" if answer.score < 0 else "neither"
    _echo_columns(
        ("score", f"{answer.score:+.4f}", meaning),
        ("strength", f"{answer.strength:.4f}", "the score without its sign"),
        ("value", f"{answer.value:.4f}", "in the unit of the training scores"),
        ("left", left, _KNOWN[answer.left_known]),
        ("right", right, _KNOWN[answer.right_known]),
    )


def similar(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    side: Annotated[str, typer.Option(help="The side of the answers: left or right.")] = "right",
    k: Annotated[int, typer.Option("-k", min=0, help="How many.")] = 10,
) -> None:
    """List the entities of one side with the highest scores for an entity of the other side."""
    if side not in ("left", "right"):
        raise typer.BadParameter(f"must be left or right (got {side!r})", param_hint="--side")
    neighbors, known = _model(model, endpoint).similar(side, os.fsencode(id_), k)
    if not known:
        typer.echo(f"{id_} does not occur in training. This is the ranking for an average entity.", err=True)
    _echo_columns(*((os.fsdecode(neighbor.id), f"{neighbor.score:+.4f}") for neighbor in neighbors))


def serve(
    context: typer.Context,
    root: RootOption,
    to: Annotated[str, typer.Option(help="The directory of versions below the root (publish.to).")] = "serving",
    name: Annotated[str | None, typer.Option(help="The name of the model. Default: the name of the root.")] = None,
    rest_port: Annotated[int, typer.Option(help="The port of REST.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="The port of gRPC.")] = 8500,
) -> None:
    """Serve the published versions of a root. Other flags are passed to kindred-model-server."""
    from serving.model_server.main import main as serve_models

    directory = (root / to).absolute()
    if not directory.is_dir():
        raise ModelNotFound(f"--root {root}: {directory} is not a directory. `kindred run` publishes to ROOT/serving")
    model_name = name or root.absolute().name
    flags = [f"--rest_api_port={rest_port}", f"--port={grpc_port}", f"--model_name={model_name}"]
    serve_models([*flags, f"--model_base_path={directory}", *context.args])


def _model(model: Path | None, endpoint: str | None) -> ModelClient:
    """Returns the model of the options, exactly one of which must be given."""
    if (model is None) == (endpoint is None):
        raise typer.BadParameter("give exactly one of them", param_hint="--model / --endpoint")
    if endpoint is None:
        assert model is not None
        return _load(model)
    from serving.endpoint import Endpoint

    return Endpoint(endpoint)


def _load(model: Path) -> ModelClient:
    from serving.store import find_model

    found = find_model(model)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Imports TensorFlow, which takes seconds, so the path is checked first.
    from serving.local_model import LocalModel

    return LocalModel(found)


def _echo_columns(*rows: tuple[str, ...]) -> None:
    """Prints rows in aligned columns. Never truncates cells, because scripts read them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        typer.echo(os.fsencode(line))  # an id is bytes and may not be text
