"""Crashes and errors of the child process that imports everything."""

from __future__ import annotations

import sys

import pytest

from pipeline.commands.doctor.child import check_imports, read_record


def _child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os, pathlib, sys\nrecord = pathlib.Path(sys.argv[1])\n{code}")


def test_crashing_library_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    code = """
record.write_text('["import keras"]\\n["import keras", true, "3.1", ""]\\n["import kfp"]\\n')
print("chatter", flush=True)
os.write(2, b"Fatal error: no such symbol\\n")
os.abort()
"""
    keras, kfp = check_imports(_child(code))
    assert (keras.name, keras.ok) == ("import keras", True)
    assert (kfp.name, kfp.ok) == ("import kfp", False)
    assert kfp.found == "Python ended with SIGABRT: Fatal error: no such symbol"
    assert capfd.readouterr() == ("", "")  # output of libraries is hidden


def test_unstartable_child_fails_check() -> None:
    (check,) = check_imports(_child("sys.exit('No module named rich')"))
    assert (check.ok, check.found) == (False, "Python ended with exit code 1: No module named rich")


def test_c_library_crash_suggests_repair() -> None:
    (check,) = read_record([["import kfp"]], -6, "version `GLIBC_2.38' not found")
    assert "-m bootstrap.glibc" in check.fix
