"""Proposes the column of each role, by the names and the values of columns."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from components.pair_example_gen.text_files import Column
from errors import InputError
from pipeline.commands.init.facts import Facts

ROLES = ("left", "right", "score", "weight", "time")
_WORDS = {
    "left": "left user customer client member reader buyer shopper visitor account person patient student follower "
    "viewer listener player session source src from head subject query word drug compound ligand molecule smiles "
    "chemical author node1 id1 entity1",
    "right": "right item product movie film book isbn song track artist album video game article sku asin course "
    "restaurant business page followee friend target dst dest destination to tail object document doc context protein "
    "receptor disease node2 id2 entity2",
    "score": "score rating ratings stars star label affinity pmi similarity overall grade preference strength pchembl "
    "liked like clicked purchased value y",
    "weight": "weight count counts plays playcount clicks views purchases quantity qty confidence freq frequency",
    "time": "time timestamp ts date datetime day unixtime reviewtime created updated",
}
_NAMES = {role: words.split() for role, words in _WORDS.items()}
_PARTS = re.compile(r"[A-Z]?[a-z]+[0-9]*|[A-Z]+(?![a-z])[0-9]*|[0-9]+")
# A column of scores without a telling name has fewer different values, or fractions.
_FEW = 100


@dataclasses.dataclass(frozen=True)
class Choice:
    """The column of a role, and why."""

    column: Column
    why: str


def rank_of(role: str, name: str) -> int | None:
    """Returns the place of the word of a role that a name has, 0 for the most telling one, or None if it has none.

    Example: `rank_of("left", "userId")` is 1.
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    words = {*parts, "".join(parts), "".join(parts).removesuffix("id")}
    return next((place for place, word in enumerate(_NAMES[role]) if word in words), None)


def has_known_name(names: tuple[str, ...]) -> bool:
    """Returns whether any of the names is usual for a role."""
    return any(rank_of(role, name) is not None for role in ROLES for name in names)


def propose(facts: Mapping[Column, Facts], names: Mapping[Column, str]) -> dict[str, Choice]:
    """Returns the column of each role. Left and right are always there, and the others where a column fits.

    Args:
      facts: of each column.
      names: the name of each column, or an empty text if the file has no header.

    Raises:
      InputError: fewer than two columns can be ids.
    """
    proposal = _Proposal(facts, names)
    for role in ("time", "score", "weight", "left", "right"):
        proposal.choose_by_name(role)
    proposal.choose_ids()
    proposal.choose_by_values()
    return {role: proposal.chosen[role] for role in ROLES if role in proposal.chosen}


class _Proposal:
    def __init__(self, facts: Mapping[Column, Facts], names: Mapping[Column, str]) -> None:
        self.chosen: dict[str, Choice] = {}
        self._facts = facts
        self._names = names

    def choose_by_name(self, role: str) -> None:
        ranked = [(rank, at) for at in self._free(role) if (rank := rank_of(role, self._names[at])) is not None]
        if ranked:
            self._choose(role, min(ranked, key=lambda found: found[0])[1], "Chosen by its name")

    def choose_ids(self) -> None:
        """Chooses the first columns of ids that are left, and a column that numbers the rows only if it must."""
        for role in ("left", "right"):
            ids = [column for column in self._free(role) if not self._facts[column].is_time]
            ids.sort(key=lambda column: self._facts[column].counts_rows)
            if role not in self.chosen and ids:
                self._choose(role, ids[0], "The first column of ids without another role")
        if not {"left", "right"} <= self.chosen.keys():
            found = (f"{self._names[at] or at} ({facts.describe()})" for at, facts in self._facts.items())
            raise InputError(f"data.columns: a pair needs two columns of ids. The columns are {', '.join(found)}")

    def choose_by_values(self) -> None:
        """Chooses time and score. With names, a score is chosen only if it is the only column that can be one."""
        times = [column for column in self._free("time") if self._facts[column].is_time]
        if "time" not in self.chosen and times:
            self._choose("time", times[0], "Chosen by its values")
        scores = [column for column in self._free("score") if self._may_be_score(self._facts[column])]
        if (
            scores
            and not {"score", "weight"} & self.chosen.keys()
            and (len(scores) == 1 or not any(self._names.values()))
        ):
            self._choose("score", scores[0], "The first column of numbers without another role")

    def _free(self, role: str) -> list[Column]:
        taken = {choice.column for choice in self.chosen.values()}
        return [column for column in self._facts if column not in taken and _can_be(role, self._facts[column])]

    def _choose(self, role: str, column: Column, why: str) -> None:
        self.chosen[role] = Choice(column, f"{why}. It has {self._facts[column].describe()}.")

    @staticmethod
    def _may_be_score(facts: Facts) -> bool:
        return not facts.counts_rows and (not facts.whole or facts.distinct <= _FEW)


def _can_be(role: str, facts: Facts) -> bool:
    """Returns whether the values of a column fit a role."""
    if not facts.filled or (facts.distinct < 2 and role in ("score", "weight")):
        return False
    if role == "time":
        return facts.is_time or facts.numeric
    if role in ("score", "weight"):
        return facts.numeric and not facts.is_time and (role == "score" or facts.least >= 0)
    return not facts.numeric or facts.whole
