"""Every block of the documentation runs in tests/e2e/test_documented_commands.py, or has a mark with a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documented import NO_SHELLS, SHELLS, Block, all_blocks, blocks, commands, missing_line
from tests.unit.docs.pages import ROOT, pages

_BLOCKS = all_blocks()
_MARK = re.compile(
    r"not run(?: `[^`]+`)?: \S+ .+|run elsewhere(?: `[^`]+`)?: \S+"
    r"|output of `[^`]+`|output on Python \d\.\d+|kubernetes"
)
_INDENTED = re.compile(r"(?<=\n\n) {4,}(?:\$ |make |curl |kubectl |(?:\.venv/bin/)?(?:kindred|python|uv) )[^\n]*")


def _in_page(text: str) -> list[Block]:
    return list(blocks(ROOT / "README.md", text))


@pytest.mark.parametrize("block", _BLOCKS, ids=lambda block: block.place)
def test_every_block_runs_or_has_a_mark(block: Block) -> None:
    assert block.language in (*SHELLS, *NO_SHELLS), "a block has a known language, or none if it is for a shell"
    assert [mark for mark in block.marks if not _MARK.fullmatch(mark)] == [], "a mark has a known form and a reason"
    names = {command.name for command in commands(block)}
    assert set(block.skipped()) - {None} <= names, "a mark names a command of its block"


@pytest.mark.parametrize("block", [block for block in _BLOCKS if block.skipped()], ids=lambda block: block.place)
def test_named_tests_exist(block: Block) -> None:
    kinds = (reason.partition(": ") for reason in block.skipped().values())
    assert [path for kind, _, path in kinds if kind == "run elsewhere" and not (ROOT / path).exists()] == []


def test_shown_outputs_have_tested_commands() -> None:
    run = {command.name for block in _BLOCKS for command in commands(block) if not command.skipped}
    assert {block.output_of() for block in _BLOCKS if block.output_of()} <= run


def test_first_commands_of_readme_run() -> None:
    found = {command.name: command.skipped for block in _BLOCKS for command in commands(block)}
    assert found["make run-local"] is None and found["make serve"] is None


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_in_fences(page: Path) -> None:
    outside = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert _INDENTED.findall(outside) == []


def test_lines_are_commands_unless_some_have_prompts() -> None:
    (plain, shown) = _in_page(
        "```\nmake a   # why\nmake b \\\n  C=1\n```\n\n```console\n$ kindred x\nyes\n\n$ kindred y\n```\n"
    )
    assert [command.name for command in commands(plain)] == ["make a", "make b \\\n  C=1"]
    assert [(command.text, command.output) for command in commands(shown)] == [
        ("kindred x", ("yes",)),
        ("kindred y", ()),
    ]


def test_marks_skip_a_block_or_a_command() -> None:
    text = """
<!-- not run: needs a cluster -->
```
a
```
Text.
<!-- not run `b`: needs docker -->
```
b
c
```
```
d
```
"""
    skipped = [(command.name, command.skipped) for block in _in_page(text) for command in commands(block)]
    assert skipped == [
        ("a", "not run: needs a cluster"),
        ("b", "not run: needs docker"),
        ("c", None),
        ("d", None),
    ]


@pytest.mark.parametrize("mark", ["not run", "not run:", "not run: docker", "norun: needs a cluster", "run elsewhere:"])
def test_mark_without_reason_is_refused(mark: str) -> None:
    assert not _MARK.fullmatch(mark)


@pytest.mark.parametrize(
    ("output", "code"),
    [("yes", 0), ("error: no\nmore", 2), ("...\nRefused after 4.8 s (exit code 4)", 4), ("", 0)],
)
def test_output_states_the_exit_code(output: str, code: int) -> None:
    (block,) = _in_page(f"```\n$ a\n{output}\n```\n")
    assert commands(block)[0].exit_code == code


@pytest.mark.parametrize(
    ("documented", "missing"),
    [
        (("Published after 17.5 s", "  rows  237,808 in"), None),
        (("...", "  rows   1 in"), None),
        (("  rows  1 in", "Published after 1 s"), "Published after 1 s"),
        (("  rows  1 out",), "  rows  1 out"),
    ],
)
def test_outputs_are_compared_without_numbers(documented: tuple[str, ...], missing: str | None) -> None:
    printed = "first\nPublished after 3 s\nsecond\n  rows      7 in\n"
    assert missing_line(documented, printed) == missing
