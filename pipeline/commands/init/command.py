"""Writes a pipeline file for a file of pairs."""

from __future__ import annotations

import dataclasses
import os
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from errors import ConfigError, InputError
from kindred.invocation import command, typed_path
from pipeline.commands.init.layout import Table, lay_out, settings_for
from pipeline.commands.init.place import Place, find_place
from pipeline.commands.init.propose import Choice, propose
from pipeline.commands.init.sample import read_sample
from pipeline.commands.init.text import write_text
from pipeline.commands.preflight import check_inputs
from pipeline.config import load_config
from pipeline.records.root import Root

FILE = "pipeline.yaml"
_NAME_LENGTH = 63

# Takes a proposal and the columns, and returns what a person has chosen.
Ask = Callable[[Mapping[str, Choice], Table], dict[str, Choice]]


@dataclasses.dataclass(frozen=True)
class Request:
    """The options of `kindred init`."""

    folder: Path
    data: str
    name: str | None = None
    force: bool = False


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A pipeline file that was written.

    Attributes:
      path: its path.
      text: its text.
      columns: the column of each role, and why.
    """

    path: Path
    text: str
    columns: Mapping[str, Choice]

    @property
    def next(self) -> list[str]:
        """The commands that check it and run it."""
        return [command(verb, "--config", typed_path(self.path)) for verb in ("check", "run")]

    def to_json(self) -> dict[str, Any]:
        """Returns the path, the columns with the reasons, and the next commands."""
        columns = {role: dataclasses.asdict(choice) for role, choice in self.columns.items()}
        return {"file": str(self.path), "columns": columns, "next": self.next}


def init(request: Request, ask: Ask | None = None) -> Proposal:
    """Looks at the data, and writes a pipeline file that a run accepts.

    Args:
      request: the options.
      ask: lets a person change the proposed columns. None: the proposal is taken.

    Raises:
      ConfigError: the pipeline file exists, cannot be written, or has no valid name.
      InputError: there is no file, or its pairs cannot be read.
    """
    target = request.folder / FILE
    if target.exists() and not request.force:
        raise ConfigError(f"{target} exists. Use --force to replace it, or another directory")
    place = find_place(request.data)
    table = lay_out(read_sample(place.files[0]))
    chosen = _columns(table)
    if ask is not None:
        chosen = ask(chosen, table)
    settings = settings_for(table, {role: choice.column for role, choice in chosen.items()})
    name = request.name or _name_of(request.folder)
    text = write_text(
        name, _relative(place.path, request.folder), settings, chosen, _about(place, table, chosen), bool(place.spans)
    )
    _write(target, text, request.force)
    return Proposal(target, text, chosen)


def _columns(table: Table) -> dict[str, Choice]:
    if table.settings.get("format") == "adjacency":
        why = "Of adjacency lists: a line has a left id, then its right ids."
        return {"left": Choice(0, why), "right": Choice(1, why)}
    if not table.sample.rows:
        raise InputError(f"data.path: {table.sample.file}: there are no rows after the header")
    return propose(table.facts, table.names)


def _about(place: Place, table: Table, chosen: Mapping[str, Choice]) -> str:
    count = "1 file" if len(place.files) == 1 else f"{len(place.files):,} files"
    source = f"The proposal is from the first {table.sample.rows:,} rows of {os.path.basename(place.files[0])}."
    if place.spans:
        found = [f"{place.spans:,} spans. A run reads the newest one, or those that `spans` chooses. {source}"]
    else:
        found = [f"{count}. {source}"]
    if table.sample.recognized:
        found.append(f"Recognized: {', '.join(table.sample.recognized)}.")
    taken = {choice.column for choice in chosen.values()}
    if others := [name for column, name in table.names.items() if name and column not in taken]:
        found.append(f"Not used: {', '.join(others)}.")
    return "\n".join(found)


def _name_of(folder: Path) -> str:
    """Returns the name of a folder as that of a pipeline."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.absolute().resolve().name.lower()).strip("-")
    return name[:_NAME_LENGTH].strip("-") or "pairs"


def _relative(path: str, folder: Path) -> str:
    """Returns `path` relative to the folder of the pipeline file if both can be moved together, otherwise absolute."""
    folder = folder.absolute().resolve()
    resolved = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    near = os.path.commonpath([resolved, folder.parent]) == str(folder.parent) and folder.parent != Path("/")
    return os.path.relpath(resolved, folder) if near else path


def _write(target: Path, text: str, force: bool) -> None:
    """Writes the pipeline file under another name, checks it as a run does, and renames it."""
    staged = target.with_name(f".{uuid.uuid4().hex}.staged")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(text, encoding="utf-8")
        config = load_config(staged)
        check_inputs(config, Root.at(None, config.name))
        if force:
            staged.replace(target)
        else:
            os.link(staged, target)  # fails if another process has written it
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror or error}. Use another directory") from None
    finally:
        staged.unlink(missing_ok=True)
