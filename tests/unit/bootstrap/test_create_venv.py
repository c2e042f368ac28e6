"""Runs the real setup in a temporary repository, with fakes of uv and of other Pythons."""

from __future__ import annotations

import ast
import inspect
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from bootstrap import create_venv, steps, supported

SOURCE = Path(create_venv.__file__)

PRETEND = """
import runpy, sys
sys.executable, sys.argv = sys.argv[1], sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program with the Python at argv[1] as `sys.executable`, which create_venv.py inspects."""

GOOD_UV = """#!/bin/sh
if [ "$1" = --version ]; then echo "uv {version} (x86_64)"; exit; fi
echo "$@" >> {calls}
mkdir -p .venv/bin && printf '#!/bin/sh\\nexit 0\\n' > .venv/bin/python && chmod +x .venv/bin/python
touch .venv/pyvenv.cfg
{then}
"""


class Fresh(NamedTuple):
    """A fresh clone, and a folder of programs that comes first on PATH."""

    root: Path
    bin: Path

    def executable(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, name: str, version: str, **more: object) -> Path:
        """Creates a fake Python `version`. Instead of running a program, it prints its command line."""
        about = {"executable": str(self.bin / name), "version": version, "implementation": "CPython"}
        answer = json.dumps({**about, "bits": 64, "abiflags": "", **more})
        return self.executable(name, f'#!/bin/sh\nif [ "$1" = -c ]; then echo \'{answer}\'; else echo "$0 $@"; fi\n')

    def uv(self, then: str = "", version: str = "0.13.9") -> None:
        self.executable("uv", GOOD_UV.format(calls=self.root / "calls", then=then, version=version))

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def stamp(self) -> Path:
        return self.root / ".venv" / "kindred.stamp"

    def run(self, *arguments: str, python: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        script = [str(self.root / "bootstrap" / "create_venv.py"), *arguments]
        command = [sys.executable, *(["-c", PRETEND, str(python)] if python else []), *script]
        environment = {"PATH": f"{self.bin}:/bin:/usr/bin", "HOME": str(self.root), **env}
        # Processes in the background ignore interrupts, and the program would inherit that.
        return subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=_accept_interrupts)


def _accept_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    root = tmp_path / "clone"
    (root / "bootstrap").mkdir(parents=True)
    for name in ("bootstrap/__init__.py", *create_venv.INPUTS):
        if name.startswith("bootstrap/"):
            shutil.copy(SOURCE.parents[1] / name, root / name)
    (root / "uv.lock").write_text("version = 1\n")
    (root / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "bin").mkdir()
    return Fresh(root, tmp_path / "bin")


def assert_refused(done: subprocess.CompletedProcess[str], *messages: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(".\n")
    for message in messages:
        assert message in done.stderr


@pytest.mark.parametrize("module", [create_venv, steps, supported])
def test_script_parses_on_python_3_6(module: ModuleType) -> None:
    source = inspect.getsource(module)
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source  # a syntax error on 3.6


def test_setup_installs_repairs_and_stamps(fresh: Fresh) -> None:
    fresh.uv()
    done = fresh.run()
    assert done.returncode == 0, done.stderr
    assert len(fresh.calls) == 1
    assert fresh.calls[0].startswith("sync --frozen --link-mode=copy --compile-bytecode --no-python-downloads")
    assert ("--python-platform x86_64-manylinux_2_39" in fresh.calls[0]) == (sys.platform == "linux")
    assert "python -m bootstrap.glibc\n" in (fresh.root / "build" / "setup.log").read_text()
    assert fresh.stamp.exists()


def test_pip_checks_the_hash_of_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def record(command: list[str], what: str) -> None:
        commands.append(command)
        tmp_path.joinpath("uv.staged").mkdir(exist_ok=True)

    monkeypatch.setattr(create_venv, "run", record)
    monkeypatch.setattr(create_venv, "UV_FOLDER", tmp_path / "uv")
    create_venv.install_uv({"executable": sys.executable})
    requirement = create_venv.UV_REQUIREMENT
    assert commands[-1][-3:] == ["--require-hashes", "--requirement", str(requirement)]
    lines = [line.split("#")[0].strip(" \\") for line in requirement.read_text().splitlines()]
    name, *hashes = filter(None, lines)
    assert name == f"uv=={create_venv.UV_PINNED}"
    # Linux and macOS.
    assert len(hashes) == 2 and all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", text) for text in hashes)


def test_second_call_only_renews_stamp(fresh: Fresh) -> None:
    fresh.uv()
    fresh.run()
    os.utime(fresh.stamp, (0, 0))
    done = fresh.run()
    assert (done.returncode, done.stderr, len(fresh.calls)) == (0, "", 1)
    assert time.time() - fresh.stamp.stat().st_mtime < 60


@pytest.mark.parametrize("name", create_venv.INPUTS)
def test_changed_input_triggers_setup(fresh: Fresh, name: str) -> None:
    fresh.uv()
    fresh.run()
    with (fresh.root / name).open("a") as file:
        file.write("\n# changed\n")
    assert fresh.run().returncode == 0
    assert len(fresh.calls) == 2


def test_killed_setup_is_repeated(fresh: Fresh) -> None:
    fresh.uv()
    fresh.run()
    (fresh.root / "uv.lock").write_text("version = 2\n")
    fresh.uv(then="kill -9 $PPID")
    assert fresh.run().returncode == -9
    assert not fresh.stamp.exists()
    fresh.uv()
    assert fresh.run().returncode == 0
    assert fresh.stamp.exists()
    assert len(fresh.calls) == 3


@pytest.mark.parametrize("missing", ["bin/python", "pyvenv.cfg", "kindred.stamp"])
def test_unfinished_venv_is_removed(fresh: Fresh, missing: str) -> None:
    fresh.uv()
    fresh.run()
    (fresh.root / "uv.lock").write_text("version = 2\n")
    (fresh.root / ".venv" / missing).unlink()
    (fresh.root / ".venv" / "lib" / "half").mkdir(parents=True)
    assert fresh.run().returncode == 0
    assert not (fresh.root / ".venv" / "lib").exists()
    assert fresh.stamp.exists()


def test_finished_venv_is_updated(fresh: Fresh) -> None:
    fresh.uv()
    fresh.run()
    (fresh.root / "uv.lock").write_text("version = 2\n")
    (fresh.root / ".venv" / "lib").mkdir()
    assert fresh.run().returncode == 0
    assert (fresh.root / ".venv" / "lib").exists()


def test_concurrent_setups_run_in_sequence(fresh: Fresh) -> None:
    fresh.uv(then="sleep 1")
    with ThreadPoolExecutor() as pool:
        done = [call.result() for call in [pool.submit(fresh.run) for _ in range(2)]]
    assert [one.returncode for one in done] == [0, 0]
    assert len(fresh.calls) == 1
    assert sum("Waiting for it" in one.stderr for one in done) == 1


def test_failing_uv_is_reported(fresh: Fresh) -> None:
    fresh.uv(then="seq 100; echo no route to the index >&2; exit 7")
    done = fresh.run()
    assert done.returncode == 1
    assert "no route to the index" in done.stderr
    assert str(fresh.root / "build" / "setup.log") in done.stderr
    assert "Traceback" not in done.stderr
    assert "\n50\n" not in done.stderr  # only the last lines
    assert not fresh.stamp.exists()


def test_interrupt_is_reported(fresh: Fresh) -> None:
    fresh.uv(then="kill -INT $PPID; sleep 1")
    done = fresh.run()
    assert done.returncode == 130
    assert "Interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not fresh.stamp.exists()


@pytest.mark.parametrize("version", ["3.9.18", "3.14.0", "2.7.18"])
def test_unsupported_python_is_refused(fresh: Fresh, version: str) -> None:
    old = fresh.python("python-old", version)
    done = fresh.run(python=old, PATH=str(fresh.bin))
    assert_refused(done, f"Python {version}", "3.10, 3.11, 3.12 or 3.13", "make PYTHON=")


def test_chosen_python_is_never_replaced(fresh: Fresh) -> None:
    fresh.python("python3.12", "3.12.1")
    old = fresh.python("python-old", "3.9.18")
    assert_refused(fresh.run("--chosen", python=old), "the chosen one is Python 3.9.18")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"implementation": "PyPy"}, "PyPy 3.11.1"),
        ({"bits": 32}, "for 32 bits"),
        ({"abiflags": "t"}, "without the GIL"),
    ],
)
def test_unsupported_builds_are_refused(fresh: Fresh, more: dict[str, object], words: str) -> None:
    odd = fresh.python("python-odd", "3.11.1", **more)
    assert_refused(fresh.run("--chosen", python=odd), words)


def test_supported_python_on_path_is_used(fresh: Fresh) -> None:
    fresh.executable("python3.13", "#!/bin/sh\nexit 127\n")  # like a pyenv shim of an inactive version
    fresh.python("python3.12", "3.12.1")
    fresh.python("python3.11", "3.11.7")
    old = fresh.python("python-old", "3.9.18")
    done = fresh.run(python=old, PATH=str(fresh.bin))
    script = fresh.root / "bootstrap" / "create_venv.py"
    assert (done.returncode, done.stdout) == (0, f"{fresh.bin / 'python3.12'} {script} --chosen\n")


def test_python_of_last_setup_is_kept(fresh: Fresh) -> None:
    fresh.python("python3.12", "3.12.1")
    fresh.stamp.parent.mkdir()
    fresh.stamp.write_text(json.dumps({"digest": "old", "python": str(fresh.bin / "python3.12")}))
    assert fresh.run().stdout.startswith(str(fresh.bin / "python3.12"))


def test_python_without_venv_is_refused(fresh: Fresh, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError\n")
    done = fresh.run(PATH=str(fresh.bin), PYTHONPATH=str(tmp_path))
    assert_refused(done, "has no venv module", "apt-get install python3.")


def test_uv_on_path_replaces_venv(fresh: Fresh, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError\n")
    fresh.uv()
    assert fresh.run(PYTHONPATH=str(tmp_path)).returncode == 0


@pytest.mark.parametrize(("version", "taken"), [("0.13.9", True), ("0.9.0", True), ("1.2", True), ("0.8.24", False)])
def test_old_uv_is_ignored(fresh: Fresh, version: str, taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.uv(version=version)
    monkeypatch.setenv("PATH", f"{fresh.bin}:/bin")
    assert create_venv.find_uv() == (str(fresh.bin / "uv") if taken else None)


@pytest.mark.parametrize(
    ("system", "machine", "library", "words"),
    [
        ("Linux", "aarch64", ("glibc", "2.36"), "Linux on aarch64"),
        ("Darwin", "x86_64", ("", ""), "Darwin on x86_64"),
        ("Windows", "AMD64", ("", ""), "Windows on AMD64"),
        ("Linux", "x86_64", ("glibc", "2.31"), "has glibc 2.31"),
        ("Linux", "x86_64", ("", ""), "has another C library"),
    ],
)
def test_unsupported_platforms_are_refused(
    system: str, machine: str, library: tuple[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(supported, "c_library", lambda: library)
    with pytest.raises(create_venv.UnsupportedError, match=words):
        supported.check_platform()


@pytest.mark.parametrize(
    ("system", "machine", "library"),
    [
        ("Linux", "x86_64", ("glibc", "2.35")),
        ("Linux", "x86_64", ("glibc", "2.41")),
        ("Darwin", "arm64", ("", "")),
    ],
)
def test_supported_platforms_pass(
    system: str, machine: str, library: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(supported, "c_library", lambda: library)
    supported.check_platform()


def test_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_venv, "ROOT", tmp_path)
    monkeypatch.setattr(create_venv, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(create_venv, "DISK_NEEDED", 10**18)
    with pytest.raises(create_venv.UnsupportedError, match="free some space first"):
        create_venv.check_disk()
    (tmp_path / ".venv").mkdir()
    create_venv.check_disk()


@pytest.mark.parametrize(
    ("text", "version"),
    [("3.12.1", (3, 12, 1)), ("3.13.0rc1", (3, 13, 0)), ("0.13.9 (abc 2026)", (0, 13, 9)), ("x", ())],
)
def test_version_of(text: str, version: tuple[int, ...]) -> None:
    assert supported.version_of(text) == version
