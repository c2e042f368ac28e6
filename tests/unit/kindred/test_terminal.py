"""Text from data cannot command a terminal. A pipe gets it unchanged."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kindred.terminal import printable
from pipeline.running.console import RunConsole

# Clears the screen, sets the title, rings, reverses, C1's control sequence introducer, and a byte that is not UTF-8.
EVIL = b"\x1b[2J\x1b]0;gotcha\x07 \xe2\x80\xae\xc2\x9b31m \xff\tok"
SHOWN = "\\x1b[2J\\x1b]0;gotcha\\x07 \\u202e\\x9b31m \\xff\tok"
SAY = "import os, sys; from kindred.terminal import say; say(os.fsdecode(sys.stdin.buffer.read()), err={})"


@pytest.mark.parametrize("err", [False, True])
def test_terminal_shows_characters_that_would_command_it(err: bool) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SAY.format(err)], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs
    ) as process:
        assert process.stdin is not None
        process.stdin.write(EVIL)
        process.stdin.close()
        assert process.wait(30) == 0
    assert os.read(ours, 4096).decode() == f"{SHOWN}\r\n"
    os.close(theirs)
    os.close(ours)


def test_pipe_gets_every_byte() -> None:
    done = subprocess.run([sys.executable, "-c", SAY.format(False)], input=EVIL, capture_output=True, check=True)
    assert done.stdout == EVIL + b"\n"


def test_lines_of_a_run_are_safe() -> None:
    for terminal in (True, False):
        out = io.StringIO()
        console = RunConsole(Console(file=out, force_terminal=terminal, color_system=None, width=200))
        console.say("a\x1b]0;x\u202eb")
        console.finished("Trainer", "executed", 1.0, "id \x1b[2J")
        assert ("\x1b]" in out.getvalue(), "\\x1b]0;x\\u202eb" in out.getvalue()) == (not terminal, terminal)
        assert ("id \\x1b[2J" in out.getvalue()) == terminal


@given(st.text())
def test_nothing_else_changes(text: str) -> None:
    commands = [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\t\n"]
    commands += [c for c in text if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")]
    commands += [c for c in text if unicodedata.bidirectional(c) in ("LRI", "RLI", "FSI", "PDI")]
    shown = printable(text)
    assert not any(c in shown for c in commands)
    if not commands and not set(text) & set("\u061c\u200e\u200f"):
        assert shown == text
