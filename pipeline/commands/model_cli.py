"""The commands that use a published model: `score`, `similar`, `neighbors` and `serve`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from errors import ModelNotFound
from kindred.terminal import say
from pipeline.commands.batch.cli import score_file
from pipeline.commands.table import aligned
from pipeline.options import (
    ApproximateOption,
    CaFileOption,
    ColumnsOption,
    CountOption,
    EndpointOption,
    JsonOption,
    ModelOption,
    NamedRootOption,
    ProbesOption,
    QuietOption,
    SideOption,
    TokenFileOption,
    say_json,
)
from storage.urls import is_object

if TYPE_CHECKING:
    from serving.answers import Neighbor
    from serving.client import ModelClient


def score(
    left: Annotated[str | None, typer.Argument(metavar="[LEFT]")] = None,
    right: Annotated[str | None, typer.Argument(metavar="[RIGHT]")] = None,
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    ca_file: CaFileOption = None,
    token_file: TokenFileOption = None,
    input_: Annotated[
        str | None, typer.Option("--input", metavar="PAIRS", help="Instead of LEFT and RIGHT: files of pairs.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="With --input: the file or object to write: .parquet, .csv or .jsonl."),
    ] = None,
    columns: ColumnsOption = "left_id,right_id",
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score one pair, or the pairs of a file: signed score, strength, value in the unit of the label, known ids."""
    if (input_ is None) != (output is None):
        raise typer.BadParameter("give both, or LEFT and RIGHT", param_hint="--input / --output")
    if input_ is not None and output is not None:
        if left is not None or model is None:
            raise typer.BadParameter("needs --model, and neither LEFT nor RIGHT", param_hint="--input")
        score_file(model, input_, output, columns, json_, quiet)
        return
    if left is None or right is None:
        raise typer.BadParameter("give both, or --input and --output", param_hint="LEFT RIGHT")
    client = _model(model, endpoint, ca_file, token_file)
    answer = client.score(os.fsencode(left), os.fsencode(right))
    if json_:
        say_json({"left": left, "right": right, **dataclasses.asdict(answer)})
        return
    meaning = "similar" if answer.score > 0 else "dissimilar" if answer.score < 0 else "neither"
    _echo_columns(
        ("score", f"{answer.score:+.4f}", meaning),
        ("strength", f"{answer.strength:.4f}", "the score without its sign"),
        ("value", f"{answer.value:.4f}", "in the unit of the training scores"),
        ("left", left, "known" if answer.left_known else f"unknown: {_why_unknown(client, 'left', left)}"),
        ("right", right, "known" if answer.right_known else f"unknown: {_why_unknown(client, 'right', right)}"),
    )


def similar(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    ca_file: CaFileOption = None,
    token_file: TokenFileOption = None,
    side: SideOption = "right",
    k: CountOption = 10,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="An id to leave out of the answers. Repeat it for several.")
    ] = None,
    exclude_seen: Annotated[
        str | None,
        typer.Option(metavar="PAIRS", help="Files of pairs, as data.path has them. The partners of ID are left out."),
    ] = None,
    columns: ColumnsOption = "left_id,right_id",
    liked: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Instead of ID: an entity of the answers' side in a pair with an entity that is not in the model. "
            "Repeat it for several.",
        ),
    ] = None,
    approximate: ApproximateOption = False,
    probes: ProbesOption = None,
    json_: JsonOption = False,
) -> None:
    """List the entities of one side with the highest scores for an entity of the other side, known or new (--liked)."""
    _check_side(side)
    blocks = _blocks(approximate, probes)
    if (id_ is None) == (not liked):
        raise typer.BadParameter("give either an id or --liked", param_hint="ID / --liked")
    if id_ is None:
        for given, option in ((exclude_seen is not None, "--exclude-seen"), (approximate, "--approximate")):
            if given:
                raise typer.BadParameter("needs ID", param_hint=option)
        _recommend(
            _model(model, endpoint, ca_file, token_file),
            side,
            liked or [],
            k,
            [os.fsencode(name) for name in exclude or ()],
            json_,
        )
        return
    query = os.fsencode(id_)
    left_out = [os.fsencode(name) for name in exclude or ()]
    if exclude_seen is not None:
        from pipeline.commands.seen import partners

        left_out += partners(exclude_seen, columns, side, query)
    client = _model(model, endpoint, ca_file, token_file)
    neighbors, known = client.similar(side, query, k, left_out, probes=blocks)
    if not known:
        asked = "left" if side == "right" else "right"
        _warn_unknown(client, asked, id_, f"use --side {asked} to list {asked} entities for it")
    _echo_ranking(neighbors, known, json_)


def _recommend(client: ModelClient, side: str, liked: list[str], k: int, exclude: list[bytes], as_json: bool) -> None:
    """Prints the ranking for an entity that the model has never seen."""
    ids = [os.fsencode(name) for name in liked]
    for name, known in zip(liked, client.known(side, ids), strict=True):
        if not known:
            reason = _why_unknown(client, side, name)
            say(f"{name} is not a known {side} id, so it has no effect: {reason}.", err=True)
    ranking, known = client.recommend(side, ids, k, exclude)
    if not known:
        say("No liked id is known. This is the ranking for an average entity.", err=True)
    _echo_ranking(ranking, known, as_json)


def neighbors(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    ca_file: CaFileOption = None,
    token_file: TokenFileOption = None,
    side: Annotated[str, typer.Option(help="The side of ID and of the answers: left or right.")] = "left",
    k: CountOption = 10,
    approximate: ApproximateOption = False,
    probes: ProbesOption = None,
    json_: JsonOption = False,
) -> None:
    """List the entities of the same side as an entity that are most like it, by the cosine of their vectors."""
    _check_side(side)
    blocks = _blocks(approximate, probes)
    client = _model(model, endpoint, ca_file, token_file)
    found, known = client.neighbors(side, os.fsencode(id_), k, probes=blocks)
    if not known:
        _warn_unknown(client, side, id_, f"use --side {'left' if side == 'right' else 'right'}")
    _echo_ranking(found, known, json_)


def serve(
    context: typer.Context,
    root: NamedRootOption,
    to: Annotated[str, typer.Option(help="The directory of versions below the root, or its URL.")] = "serving",
    name: Annotated[str | None, typer.Option(help="The name of the model. Default: the name of the root.")] = None,
    rest_port: Annotated[int, typer.Option(help="The port of REST.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="The port of gRPC.")] = 8500,
) -> None:
    """Serve the published versions of a root. Other flags are passed to kindred-model-server."""
    from pipeline.records.root import Root
    from serving.model_server.main import main as serve_models

    place = Root.at(root, "")
    directory = place.place_of(to)
    if not is_object(directory) and not os.path.isdir(directory):
        raise ModelNotFound(f"--root {root}: {directory} is not a directory. `kindred run` publishes to ROOT/serving")
    model_name = name or place.name
    flags = [f"--rest_api_port={rest_port}", f"--port={grpc_port}", f"--model_name={model_name}"]
    serve_models([*flags, f"--model_base_path={directory}", *context.args])


def _model(model: str | None, endpoint: str | None, ca_file: Path | None, token_file: Path | None) -> ModelClient:
    """Returns the model of the options, exactly one of which must be given."""
    if (model is None) == (endpoint is None):
        raise typer.BadParameter("give exactly one of them", param_hint="--model / --endpoint")
    for given, option in ((ca_file, "--ca-file"), (token_file, "--token-file")):
        if given is not None and endpoint is None:
            raise typer.BadParameter("needs --endpoint", param_hint=option)
    if endpoint is None:
        assert model is not None
        return _load(model)
    from serving.endpoint import Endpoint

    return Endpoint(endpoint, ca_file, token_file)


def _load(model: str) -> ModelClient:
    from serving.store import find_model

    found = find_model(model)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Imports TensorFlow, which takes seconds, so the path is checked first.
    from serving.local_model import LocalModel

    return LocalModel(found)


def _check_side(side: str) -> None:
    if side not in ("left", "right"):
        raise typer.BadParameter(f"must be left or right (got {side!r})", param_hint="--side")


def _blocks(approximate: bool, probes: int | None) -> int | None:
    """Returns the number of blocks to read: 0 for the default of the model, None for an exact ranking."""
    if probes is not None and not approximate:
        raise typer.BadParameter("needs --approximate", param_hint="--probes")
    return (probes or 0) if approximate else None


def _why_unknown(client: ModelClient, side: str, id_: str) -> str:
    """Returns why an id is not known on a side. An id of the other side is the most frequent mistake."""
    other = "left" if side == "right" else "right"
    return f"known as a {other} id" if client.knows(other, os.fsencode(id_)) else "not in training"


def _warn_unknown(client: ModelClient, side: str, id_: str, advice: str) -> None:
    reason = _why_unknown(client, side, id_)
    if reason == "not in training":
        text = f"{id_} does not occur in training."
    else:
        text = f"{id_} is not a known {side} id. It is {reason}: {advice}."
    say(f"{text} This is the ranking for an average entity.", err=True)


def _echo_ranking(ranking: list[Neighbor], known: bool, as_json: bool) -> None:
    if as_json:
        answers = [{"id": os.fsdecode(neighbor.id), "score": neighbor.score} for neighbor in ranking]
        say_json({"known": known, "answers": answers})
        return
    _echo_columns(*((os.fsdecode(neighbor.id), f"{neighbor.score:+.4f}") for neighbor in ranking))


def _echo_columns(*rows: tuple[str, ...]) -> None:
    """Prints rows in aligned columns. Never truncates cells, because scripts read them."""
    for line in aligned(rows):
        say(line)  # an id is bytes and may not be text
