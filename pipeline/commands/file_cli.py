"""The commands about a pipeline file: `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kindred.terminal import say
from pipeline.commands.root_cli import JsonOption
from pipeline.kubeflow.options import Set

BeamOption = Annotated[
    str | None,
    typer.Option(
        metavar="PROFILE", help="Where rows are read: local, flink, spark or dataflow. Default: beam.profile."
    ),
]
DataOption = Annotated[str | None, typer.Option(help="Replaces data.path.")]
NewRootOption = Annotated[Path | None, typer.Option(help="The directory for all results. Default: build/NAME.")]


def check(
    config: Annotated[Path, typer.Option(help="The pipeline file.")],
    data: DataOption = None,
    root: NewRootOption = None,
    set_: Set = None,
    beam: BeamOption = None,
    show: Annotated[bool, typer.Option("--show", help="Print the configuration with all defaults.")] = False,
    json_: JsonOption = False,
) -> None:
    """Report everything that a run would refuse at its start, all at once, and run nothing. Exit code 2 on a fault."""
    from pipeline.commands.check import Request, check

    verdict = check(Request(config, set_ or (), data, root, beam))
    if json_:
        say(verdict.to_json())
    else:
        if show and verdict.config is not None:
            say(verdict.resolved().rstrip())
        say(verdict.to_text(), err=show or bool(verdict.faults))
    raise typer.Exit(verdict.exit_code)
