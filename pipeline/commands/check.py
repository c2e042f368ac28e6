"""`kindred check`: everything about a pipeline file that can be refused without a run, all at once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.pair_example_gen import objects
from errors import ConfigError, KindredError
from kindred.invocation import command, typed_path
from pipeline.beam.engine import check_engine
from pipeline.config import PipelineConfig, load_config, load_input_sections, yaml_file
from pipeline.records.root import Root
from pipeline.running.local import check_destination


@dataclasses.dataclass(frozen=True)
class Request:
    """The options of `kindred check`, which are those of `kindred run`."""

    config: Path
    overrides: Sequence[str] = ()
    data: str | None = None
    root: Path | str | None = None
    beam: str | None = None

    @property
    def run_command(self) -> str:
        """The command that runs what was checked."""
        options = [("--data", self.data), ("--root", self.root), ("--beam", self.beam)]
        options += [("--set", override) for override in self.overrides]
        words = [word for option, value in options if value is not None for word in (option, value)]
        return command("run", "--config", typed_path(self.config), *words)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Attributes:
      faults: what a run would refuse, one sentence each.
      config: the resolved configuration, or None if it has faults.
      input: describes the input files.
      next: the command that runs the pipeline.
    """

    faults: tuple[str, ...]
    config: PipelineConfig | None
    input: str
    next: str

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        return ConfigError.exit_code if self.faults else 0

    def to_json(self) -> str:
        """Returns the verdict as JSON."""
        tree: dict[str, Any] = {"ok": not self.faults, "faults": list(self.faults), "input": self.input}
        tree["config"] = None if self.config is None else self.config.to_json()
        return json.dumps(tree, indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """Returns the verdict for people."""
        if self.faults:
            return "\n".join(f"error: {fault}" for fault in self.faults)
        return f"Nothing to refuse. {self.input}\nNext: {self.next}"

    def resolved(self) -> str:
        """Returns the configuration with all defaults as a pipeline file, and no text if the file has faults."""
        return "" if self.config is None else yaml_file.dump(self.config.to_json(), allow_unicode=True)


def check(request: Request) -> Verdict:
    """Checks a pipeline file, its inputs, its engine and its destination. Trains and publishes nothing.

    Objects of a store are downloaded to the root, where a run uses the same copies.
    """
    try:
        config = load_config(request.config, request.overrides, request.data, request.beam)
    except ConfigError as error:
        faults = [*str(error).splitlines(), *_faults_of_readable_inputs(request)]
        return Verdict(tuple(dict.fromkeys(faults)), None, "", request.run_command)
    try:
        root = Root.at(request.root, config.name, config.storage)
    except KindredError as error:
        return Verdict((str(error),), config, "", request.run_command)
    found = tuple(dict.fromkeys(str(fault) for fault in _faults(config, root)))
    return Verdict(found, config, "" if found else _describe_input(config, root), request.run_command)


def _faults(config: PipelineConfig, root: Root) -> Iterator[KindredError]:
    from pipeline.commands import preflight  # imports PyArrow, after Root.at (storage/trust.py)

    yield from preflight.faults_in(root.check_writable)
    yield from preflight.input_faults(config, root)
    yield from preflight.faults_in(check_engine, config.beam)
    yield from preflight.faults_in(check_destination, config, root)


def _faults_of_readable_inputs(request: Request) -> list[str]:
    """Returns the faults of local inputs although other sections of the file have faults."""
    from pipeline.commands import preflight

    config = load_input_sections(request.config, request.overrides, request.data)
    if config is None or objects.are_in(config.data):
        return []
    return [str(fault) for fault in preflight.input_faults(config, Root.at(None, config.name))]


def _describe_input(config: PipelineConfig, root: Root) -> str:
    from components.pair_example_gen.reading.chunks import describe
    from pipeline.commands import preflight

    data = preflight.local_data(config, root)
    files = preflight.pair_files(data)
    found = describe(files[0], data)
    roles = ", ".join(f"{role} {column}" for role, column in data.columns.roles.items())
    recognized = f". Recognized: {', '.join(found.recognized)}" if found.recognized else ""
    count = "1 file" if len(files) == 1 else f"{len(files):,} files"
    return f"data.path has {count} with the columns {roles}{recognized}."
