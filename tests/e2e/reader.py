"""A reader who types the commands of the documentation, in a copy of the repository."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.documented import Command
from tests.source_files import REPOSITORY

HOME = "/home/you/kindred"
"""The path of the repository in the documentation."""
PORTS = (8500, 8501)
"""The ports that the documented servers listen on."""

_SERVER = re.compile(r"make serve|\S*kindred serve |\S*kindred-model-server ")
_READY = " INFO Ready"
_SECONDS = 300
# Variables of the make that runs the tests must not affect the make in a test.
_OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "CONFIG", "DATA", "ROOT")


@dataclasses.dataclass(frozen=True)
class Typed:
    """The result of a command: its exit code, and stdout and stderr together."""

    code: int
    output: str


class Reader:
    """Runs each command once, even if several pages have it. A server runs until the next one starts."""

    def __init__(self, folder: Path) -> None:
        """Copies the repository to `folder`, with the environment of this one."""
        self.folder = folder
        self._typed: dict[str, Typed] = {}
        self._server: subprocess.Popen[str] | None = None
        _copy_repository(folder)

    def type(self, command: Command) -> Typed:
        """Runs a command in bash and waits for its end. For a server, waits until it is ready."""
        if command.name not in self._typed:
            run = self._serve if _SERVER.match(command.name) else self._run
            self._typed[command.name] = run(self._filled_in(command.text))
        return self._typed[command.name]

    @property
    def serves(self) -> bool:
        """Returns whether a server of this reader runs."""
        return self._server is not None and self._server.poll() is None

    def typed(self, name: str) -> Typed | None:
        """Returns the result of an earlier command."""
        return self._typed.get(name)

    def stop_server(self) -> None:
        """Stops the running server, if any, like Ctrl-C in its terminal."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGINT)
            self._server.wait(60)
            self._server = None

    def _run(self, text: str) -> Typed:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder, env=self._environment(), timeout=_SECONDS, text=True, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Typed(done.returncode, done.stdout.replace(str(self.folder), HOME))

    def _serve(self, text: str) -> Typed:
        self.stop_server()
        log = self.folder / "server.log"
        with log.open("w", encoding="utf-8") as file:
            self._server = subprocess.Popen(
                ["bash", "-c", text], cwd=self.folder, env=self._environment(), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        deadline = time.monotonic() + _SECONDS
        while (code := self._server.poll()) is None and _READY not in log.read_text(encoding="utf-8"):
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        return Typed(code or 0, log.read_text(encoding="utf-8"))

    def _filled_in(self, text: str) -> str:
        """Replaces the word RUN in `text` by the id of the newest run."""
        runs = [path.parent for path in self.folder.glob("build/word-pairs/runs/*/summary.json")]
        return re.sub(r"\bRUN\b", max(run.name for run in runs), text) if runs else text

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
        # Import the packages of the copy, and open no window.
        return kept | {"PYTHONPATH": str(self.folder), "BROWSER": "true"}


def port_in_use() -> int | None:
    """Returns a port of the documented servers that another process uses, or None."""
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
    return None


def needs_server(command: Command) -> bool:
    """Returns whether a command starts or calls a server."""
    return bool(_SERVER.match(command.name)) or any(f"localhost:{port}" in command.text for port in PORTS)


def _copy_repository(folder: Path) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (REPOSITORY / name).is_file() and name != ".venv":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    _link_environment(folder / ".venv")


def _link_environment(venv: Path) -> None:
    """Links `venv` to the environment of the tests, with a new stamp, so that make does not change the environment."""
    venv.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != "kindred.stamp":
            (venv / path.name).symlink_to(path)
    (venv / "kindred.stamp").touch()
