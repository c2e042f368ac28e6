"""The documented shell commands run, in document order, with the exit code and the output that their page shows.

They share one root and one copy of the repository, so run the module as a whole. tests/documented.py has the marks of
commands that do not run here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.documented import Block, Command, all_blocks, commands, missing_line
from tests.e2e.reader import Reader, needs_server, port_in_use

_BLOCKS = all_blocks()
_COMMANDS = [command for block in _BLOCKS for command in commands(block)]
_OUTPUTS = [block for block in _BLOCKS if block.output_of()]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("reader").resolve())
    yield reader
    reader.stop_server()


def _has_other_words(python: str | None) -> bool:
    return python is not None and python != f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("command", [c for c in _COMMANDS if not c.skipped], ids=lambda command: command.place)
def test_documented_command_works(command: Command, reader: Reader) -> None:
    if reader.typed(command.name) is None and needs_server(command) and not reader.serves and (port := port_in_use()):
        pytest.skip(f"another process listens on port {port}")
    typed = reader.type(command)
    assert typed.code == command.exit_code, f"{command.text}\n{typed.output}"
    if not _has_other_words(command.python):
        assert missing_line(command.output, typed.output) is None, f"{command.text}\n{typed.output}"


@pytest.mark.parametrize("block", _OUTPUTS, ids=lambda block: block.place)
def test_output_of_a_command_is_as_shown(block: Block, reader: Reader) -> None:
    (command,) = {c.name: c for c in _COMMANDS if c.name == block.output_of()}.values()
    typed = reader.type(command)
    assert missing_line(block.lines, typed.output) is None, typed.output
