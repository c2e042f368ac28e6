"""Asks on a terminal which columns have which role."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from components.pair_example_gen.text_files import Column
from kindred.terminal import printable, say
from pipeline.commands.init.layout import Table
from pipeline.commands.init.propose import ROLES, Choice

_NONE = "-"
_NEEDED = ("left", "right")


def ask_on_terminal(proposed: Mapping[str, Choice], table: Table) -> dict[str, Choice]:
    """Asks for the column of each role. Enter accepts the proposal, and `-` stands for no column.

    Args:
      proposed: the proposal.
      table: the columns.
    """
    if table.settings.get("format") == "adjacency":
        return dict(proposed)
    for column, facts in table.facts.items():
        say(f"  {column}: {facts.describe()}", err=True)
    say(f"Press Enter to accept a proposal. {_NONE} means no column.", err=True)
    chosen: dict[str, Choice] = {}
    for role in ROLES:
        answer = _ask(role, proposed.get(role), table, {choice.column for choice in chosen.values()})
        if answer is None:
            continue
        is_proposal = role in proposed and proposed[role].column == answer
        chosen[role] = (
            proposed[role]
            if is_proposal
            else Choice(answer, f"Chosen by you. It has {table.facts[answer].describe()}.")
        )
    return chosen


def _ask(role: str, proposed: Choice | None, table: Table, taken: set[Column]) -> Column | None:
    """Asks until the answer is a column that no other role has."""
    free = {printable(str(column)): column for column in table.facts if column not in taken}
    default = _NONE if proposed is None or proposed.column in taken else printable(str(proposed.column))
    while True:
        answer = str(typer.prompt(f"{role} column", default=default, err=True))
        if answer in free:
            return free[answer]
        if answer == _NONE and role not in _NEEDED:
            return None
        say(f"{answer!r} is not possible. Choose from {', '.join(free)}", err=True)
