"""The options that several commands share, and JSON as their output. Importing this module imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kindred.terminal import say

ConfigOption = Annotated[Path, typer.Option("--config", help="The pipeline file.")]
DataOption = Annotated[str | None, typer.Option("--data", help="Replaces data.path.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="section.key=value. Repeat it for more keys.")]
BeamOption = Annotated[
    str | None,
    typer.Option(
        "--beam",
        metavar="PROFILE",
        help="Where rows are read: local, flink or dataflow. Default: beam.profile.",
    ),
]

NewRootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="DIR|URL",
        help="Where all results go: a directory, or the URL of an object store. Default: build/NAME.",
    ),
]
UsedRootOption = Annotated[
    str | None,
    typer.Option("--root", metavar="DIR|URL", help="The root of a pipeline's runs. Default: the only one in build/."),
]
NamedRootOption = Annotated[
    str,
    typer.Option(
        "--root",
        metavar="DIR|URL",
        help="The root of a pipeline's runs, such as build/NAME or s3://BUCKET/NAME.",
    ),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="[RUN]", help="A run's id, or its folder ROOT/runs/RUN. Default: the latest.")
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PATH",
        help="A published model, a directory of versions, a root, or the URL of a model.",
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="A served model: http://HOST:PORT/v1/models/NAME, grpc://HOST:PORT/NAME, https://... or grpcs://...",
    ),
]
CaFileOption = Annotated[
    Path | None,
    typer.Option("--ca-file", help="With --endpoint: the PEM file of the certificates to trust, such as your own CA."),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="With --endpoint: the file of the bearer token. Default: $KINDRED_TOKEN."),
]
SideOption = Annotated[str, typer.Option("--side", help="The side of the answers: left or right.")]
CountOption = Annotated[int, typer.Option("-k", min=0, help="How many.")]
ApproximateOption = Annotated[
    bool, typer.Option("--approximate", help="Read a part of the catalogue only. Faster, and may miss some answers.")
]
ProbesOption = Annotated[
    int | None,
    typer.Option("--probes", min=1, help="With --approximate: the number of blocks to read. More find more."),
]
ColumnsOption = Annotated[
    str,
    typer.Option(
        "--columns", metavar="LEFT,RIGHT", help="The columns of pairs: names, or numbers from 0 without a header."
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress. Warnings and errors stay.")]


def say_json(value: Any) -> None:
    """Prints JSON. Ids that are not text keep their bytes as surrogates, which are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    say(text, fit=False)
