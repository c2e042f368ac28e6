"""Printed commands work as typed: from the current directory, however the program was started."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kindred.invocation import command, typed_path


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `kindred` that is not on PATH, in an environment below the current directory."""
    path = tmp_path / "my project" / ".venv" / "bin" / "kindred"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\necho ran $*\n")
    path.chmod(0o755)
    monkeypatch.chdir(path.parents[2])
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(sys, "argv", [str(path), "run"])
    return path


def typed(text: str) -> str:
    return subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=True).stdout


def test_script_below_directory_has_relative_path(script: Path) -> None:
    assert command("report", "latest") == ".venv/bin/kindred report latest"
    assert typed(command("report", "latest")) == "ran report latest\n"


def test_script_elsewhere_has_full_path(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert shlex.split(command("report")) == [str(script), "report"]
    assert typed(command("report")) == "ran report\n"


def test_script_in_directory_begins_with_dot(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)
    assert command("report") == "./kindred report"
    assert typed(command("report")) == "ran report\n"


def test_script_on_path_is_only_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.defpath}")
    assert command("report") == "kindred report"
    assert typed(command("report")) == "ran report\n"


def test_another_kindred_on_path_is_not_meant(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "bin" / "kindred"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}{os.defpath}")
    assert command("report") == ".venv/bin/kindred report"


def test_module_is_printed_as_module(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/site-packages/kindred/__main__.py", "run"])
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    assert command("report") == ".venv/bin/python -m kindred report"


def test_other_program_prints_script_next_to_python(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/site-packages/examples/movielens/download.py"])
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    assert command("run") == ".venv/bin/kindred run"


def test_without_a_script_the_name_is_printed(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script.unlink()
    assert command("report") == "kindred report"


@pytest.mark.parametrize("task", ["node", "run_report", "refused"])
def test_cluster_task_prints_name(script: Path, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr(sys, "argv", [f"/app/pipeline/kubeflow/{task}.py"])
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    assert command("report", typed_path("/kindred/films/runs/r")) == "kindred report /kindred/films/runs/r"


def test_paths_are_relative_only_below_the_directory(script: Path, tmp_path: Path) -> None:
    assert typed_path(Path("build/films").absolute()) == typed_path("build/films") == "build/films"
    assert typed_path(Path.cwd()) == "."
    assert typed_path("../build") == typed_path(tmp_path / "build") == str(tmp_path / "build")


def test_words_are_quoted_for_the_shell(script: Path) -> None:
    words = ("score", "it's", "a b", "$HOME", "naïve;", Path("x y"))
    assert typed(command(*words)) == f"ran {' '.join(map(str, words))}\n"


def test_folder_is_not_a_script(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("kindred").mkdir()
    monkeypatch.setattr(sys, "argv", ["kindred", "run"])
    assert command("report") == "kindred report"
