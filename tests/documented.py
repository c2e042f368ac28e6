"""The shell commands of the documentation, each with the output and the exit code that its page shows.

A fenced block without a language, or one of `console`, `bash` and `sh`, holds commands. If some of its lines begin with
`$ `, these are the commands and the others their output. Otherwise every line is a command. Comments before a block
are marks:

    <!-- not run: REASON -->                          the block cannot run on one machine without set-up
    <!-- not run `COMMAND`: REASON -->                one command of the block cannot
    <!-- run elsewhere: tests/FILE.py -->             that test runs the block, or the one command in backticks
    <!-- output of `COMMAND` -->                      the block is output of that command, of any page
    <!-- output on Python 3.11 -->                    another Python gives other words
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.docs.pages import ROOT, pages

SHELLS = ("", "console", "bash", "sh")
NO_SHELLS = ("python", "text", "yaml")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*) *$")
_COMMENT = re.compile(r"^ *<!-- (?P<text>.*?) -->$")
_SKIPPED = re.compile(r"(?P<kind>not run|run elsewhere)(?: `(?P<command>[^`]+)`)?: (?P<reason>.+)")
_OUTPUT_OF = re.compile(r"output of `(?P<command>[^`]+)`")
_OUTPUT_ON = re.compile(r"output on Python (?P<version>\d\.\d+)")
_EXIT_CODE = re.compile(r"\(exit code (?P<code>\d+)\)")
_NUMBER = re.compile(r"\d[\d.,:]*")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its first line, its language, its lines, and the comments before it."""

    page: Path
    number: int
    language: str
    lines: tuple[str, ...]
    marks: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"

    def skipped(self) -> dict[str | None, str]:
        """The reasons for which commands do not run here: that of the whole block is at None."""
        found = (_SKIPPED.fullmatch(mark) for mark in self.marks)
        return {match["command"]: f"{match['kind']}: {match['reason']}" for match in found if match}

    def output_of(self) -> str | None:
        """The command whose output this block is."""
        return next((match["command"] for mark in self.marks if (match := _OUTPUT_OF.fullmatch(mark))), None)

    def python(self) -> str | None:
        """The version of Python that gives the words of the output. None: every version does."""
        return next((match["version"] for mark in self.marks if (match := _OUTPUT_ON.fullmatch(mark))), None)


@dataclasses.dataclass(frozen=True)
class Command:
    """A documented command: where it is, its text for bash, the lines of output below it, and why it does not run."""

    place: str
    text: str
    output: tuple[str, ...] = ()
    python: str | None = None
    skipped: str | None = None

    @property
    def name(self) -> str:
        """The text without its comment."""
        return _without_comment(self.text)

    @property
    def exit_code(self) -> int:
        """What the page states: the code in the output, 2 for an output that is an error, otherwise 0."""
        stated = _EXIT_CODE.search("\n".join(self.output))
        if stated:
            return int(stated["code"])
        return 2 if self.output and self.output[0].startswith("error: ") else 0


def blocks(page: Path, text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in document order."""
    opened: tuple[int, str, str] | None = None
    content: list[str] = []
    marks: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, content = (number + 1, fence["indent"], fence["language"]), []
        elif opened and fence:
            yield Block(page, opened[0], opened[2], tuple(content), tuple(marks))
            opened, marks = None, []
        elif opened:
            content.append(line.removeprefix(opened[1]))
        elif comment := _COMMENT.match(line):
            marks.append(comment["text"])
        elif line.strip():
            marks = []


def all_blocks() -> list[Block]:
    """Every fenced block of the documentation, page by page."""
    return [block for page in pages() for block in blocks(page, page.read_text(encoding="utf-8"))]


def commands(block: Block) -> list[Command]:
    """The commands of a block: none if it is not for a shell."""
    if block.language not in SHELLS:
        return []
    skipped = block.skipped()
    found = []
    for number, text, output in _with_output(block.lines):
        place = f"{block.page.relative_to(ROOT)}:{block.number + number}"
        command = Command(place, text, output, block.python())
        reason = skipped.get(command.name, skipped.get(None))
        found.append(dataclasses.replace(command, skipped=reason))
    return found


def _with_output(lines: tuple[str, ...]) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """The line, the text and the output of each command. A command may go on after a backslash or in a quotation."""
    has_prompts = any(line.startswith("$ ") for line in lines)
    index = 0
    while index < len(lines):
        first = index
        text = lines[index].removeprefix("$ ")
        index += 1
        while index < len(lines) and (text.endswith("\\") or _without_comment(text).count("'") % 2):
            text += f"\n{lines[index]}"
            index += 1
        output = []
        while has_prompts and index < len(lines) and not lines[index].startswith("$ "):
            output.append(lines[index])
            index += 1
        if text.strip() and not text.startswith("#"):
            yield first, text, tuple(line for line in output if line.strip())


def missing_line(documented: tuple[str, ...], printed: str) -> str | None:
    """The first line of a documented output that a command did not print, in that order. None if it printed all.

    Numbers are not compared, because they depend on time and machine. A line of dots stands for any lines.
    """
    lines = iter([_without_numbers(line) for line in printed.splitlines()])
    return next((line for line in documented if line != "..." and _without_numbers(line) not in lines), None)


def _without_comment(text: str) -> str:
    return re.sub(r"\s+#.*$", "", text)


def _without_numbers(line: str) -> str:
    return " ".join(_NUMBER.sub("#", line).split())
