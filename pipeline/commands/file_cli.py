"""The commands about a pipeline file: `init` and `check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kindred.invocation import typed_path
from kindred.terminal import say
from pipeline.options import BeamOption, ConfigOption, DataOption, JsonOption, NewRootOption, SetOption, say_json


def check(
    config: ConfigOption,
    data: DataOption = None,
    root: NewRootOption = None,
    set_: SetOption = None,
    beam: BeamOption = None,
    show: Annotated[bool, typer.Option("--show", help="Print the configuration with all defaults.")] = False,
    json_: JsonOption = False,
) -> None:
    """Report everything that a run would refuse at its start, all at once, and run nothing. Exit code 2 on a fault."""
    from pipeline.commands.check import Request, check

    verdict = check(Request(config, set_ or (), data, root, beam))
    if json_:
        say(verdict.to_json(), fit=False)
    else:
        if show and verdict.config is not None:
            say(verdict.resolved().rstrip(), fit=False)
        say(verdict.to_text(), err=show or bool(verdict.faults))
    raise typer.Exit(verdict.exit_code)


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where pipeline.yaml is written.")],
    data: Annotated[str, typer.Option(help="A file, a directory, a glob, or a pattern of spans.")],
    name: Annotated[str | None, typer.Option(help="The name of the pipeline. Default: that of DIR.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing pipeline.yaml.")] = False,
    json_: JsonOption = False,
) -> None:
    """Look at a file of pairs and write a pipeline file with comments. On a terminal, ask for the columns first."""
    from pipeline.commands.init.ask import ask_on_terminal
    from pipeline.commands.init.command import Request, init

    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    proposal = init(Request(directory, data, name, force), ask_on_terminal if on_terminal else None)
    if json_:
        say_json(proposal.to_json())
        return
    say(proposal.text)
    say(f"Written to {typed_path(proposal.path)}.")
    say("\n".join(["Next:", *(f"  {one}" for one in proposal.next)]))
