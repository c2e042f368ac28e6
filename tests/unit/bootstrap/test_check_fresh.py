"""`make check-fresh` without creating machines: selection, environment, refusals, table."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from bootstrap import check_fresh, fresh_machines
from bootstrap.check_fresh import Outcome
from bootstrap.fresh_machines import CheckError, Machine

PYTHONS = {"python3.12": "/a/python3.12", "python3.10": "/b/python3.10", "python3.8": "/c/python3.8", "python3.9": "/d"}
SENTENCE = "Kindred needs Python 3.10."
MAKE_OUTPUT = "make: *** [Makefile:53: .venv/kindred.stamp] Error 2"


def test_machines_without_ubuntu() -> None:
    found = {machine.name: machine for machine in fresh_machines.machines(PYTHONS, ubuntu=False)}
    assert list(found) == ["bookworm", "trixie", "bookworm-no-venv", "python3.10", "python3.12", "python3.9"]
    assert [name for name, machine in found.items() if machine.refused] == ["bookworm-no-venv", "python3.9"]
    assert found["python3.12"].python == "/a/python3.12"


def test_machines_with_ubuntu() -> None:
    assert "jammy" in [machine.name for machine in fresh_machines.machines({}, ubuntu=True)]


def test_select() -> None:
    known = [Machine("bookworm"), Machine("python3.12")]
    assert fresh_machines.select([], known) == known
    assert fresh_machines.select(["python3.12"], known) == known[1:]
    with pytest.raises(CheckError, match=r"Unknown machine sid\. Choose from bookworm, python3\.12"):
        fresh_machines.select(["sid"], known)


def test_pythons_here_prefers_pyenv(tmp_path: Path) -> None:
    def python(folder: str, name: str, code: str) -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
        return path

    python("shims", "python3.12", "exit 127")
    python("shims", "python3.11", "exit 127")
    real = python("pyenv/versions/3.12.1/bin", "python3.12", "echo yes")
    system = python("usr", "python3.10", "echo yes")
    found = fresh_machines.pythons_here(f"{tmp_path}/shims:{tmp_path}/usr", tmp_path / "pyenv")
    assert found == {"python3.12": str(real), "python3.10": str(system)}


def test_refusal_is_one_sentence() -> None:
    assert check_fresh.refusal(2, f"{SENTENCE}\n{MAKE_OUTPUT}\n") == f"refused: {SENTENCE}"


@pytest.mark.parametrize(
    ("code", "output", "problem"),
    [
        (0, "", "did not refuse"),
        (1, SENTENCE, "exit code 1"),
        (2, MAKE_OUTPUT, "0 lines"),
        (2, f"Traceback\n{SENTENCE}", "2 lines"),
        (2, "SyntaxError: invalid syntax", "invalid syntax"),
    ],
)
def test_other_output_is_not_refusal(code: int, output: str, problem: str) -> None:
    with pytest.raises(CheckError, match=problem):
        check_fresh.refusal(code, output)


def test_fresh_environment_keeps_only_network_settings() -> None:
    ours = {"https_proxy": "p", "HOME": "/root", "PATH": "/opt", "UV_CACHE_DIR": "/c", "PYTHONPATH": "/x"}
    fresh = fresh_machines.fresh_environment(ours, "/home/new")
    assert fresh["https_proxy"] == "p"
    assert fresh["HOME"] == "/home/new"
    assert "/opt" not in fresh["PATH"]
    assert not {"UV_CACHE_DIR", "PYTHONPATH"} & set(fresh)


def _try(machine: Machine, codes: list[int], folder: Path, commands: tuple[str, ...]) -> tuple[Outcome, list[str]]:
    outcome, ran = Outcome(machine.name), []
    (folder / f"{machine.name}.log").touch()

    def run(command: str, log: Path) -> int:
        if log.name.endswith(".described"):
            log.write_text("3.11.2 2.36\n")
            return 0
        ran.append(command)
        log.write_text(SENTENCE + "\n")
        return codes.pop(0)

    check_fresh.try_commands(machine, run, commands, folder, outcome)
    return outcome, ran


def test_commands_run_with_python_of_machine(tmp_path: Path) -> None:
    outcome, ran = _try(Machine("python3.12", "/a/py"), [0, 0], tmp_path, ("make doctor", "make test"))
    assert ran == ["make doctor PYTHON='/a/py'", "make test PYTHON='/a/py'"]
    assert (outcome.python, outcome.glibc) == ("3.11.2", "2.36")


def test_first_failing_command_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"make doctor failed with exit code 3 \(log: .*/trixie\.log"):
        _try(Machine("trixie", suite="trixie"), [3, 0], tmp_path, ("make doctor", "make test"))


def test_unsupported_machine_is_refused(tmp_path: Path) -> None:
    outcome, ran = _try(Machine("python3.9", "/a/py", refused=True), [2], tmp_path, ("make doctor", "make test"))
    assert len(ran) == 1
    assert outcome.notes == [f"refused: {SENTENCE}"]


def test_table() -> None:
    good = Outcome("bookworm", "3.11.2", "2.36", 101.4, notes=["make doctor 100 s"])
    bad = Outcome("trixie", problem="debootstrap failed")
    assert list(check_fresh.table([good, bad])) == [
        "machine   python  glibc  seconds  outcome",
        "bookworm  3.11.2  2.36   101      ok (make doctor 100 s)",
        "trixie    ?       ?      0        FAILED: debootstrap failed",
    ]


def test_bare_machines_need_root_and_debootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = [Machine("trixie", suite="trixie")]
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CheckError, match="need root"):
        fresh_machines.check_able(bare)
    fresh_machines.check_able([Machine("python3.12")])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CheckError, match="apt-get install debootstrap"):
        fresh_machines.check_able(bare)


@pytest.mark.parametrize("text", ["plain", "two words", "it's", '$HOME `x` "y"'])
def test_quote_is_one_word_of_the_shell(text: str) -> None:
    assert fresh_machines._output(["/bin/sh", "-c", f"printf %s {fresh_machines.quote(text)}"]) == text
