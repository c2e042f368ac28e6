"""A background process with a pid file and a log."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil

_TERM_SECONDS = 15
_LAST_BYTES = 64 << 10


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of the cluster. `folder` has its pid file and its log."""

    name: str
    folder: Path

    @property
    def pid_file(self) -> Path:
        """The file of the pid and the start time. The start time detects that another process reuses the pid."""
        return self.folder / "run" / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """The output since the last start."""
        return self.folder / "log" / f"{self.name}.log"

    def start(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Starts `command` in a new session unless the process already runs."""
        if self.running() is not None:
            return
        for place in (self.pid_file, self.log):
            place.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            started = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env=environment, cwd=self.folder,
            )  # fmt: skip
        born = psutil.Process(started.pid).create_time()
        staged = self.pid_file.with_suffix(".staged")
        staged.write_text(f"{started.pid} {born}\n", encoding="utf-8")
        staged.rename(self.pid_file)

    def running(self) -> psutil.Process | None:
        """Returns the running process, or None."""
        try:
            pid, born = self.pid_file.read_text(encoding="utf-8").split()
            process = psutil.Process(int(pid))
            alive = abs(process.create_time() - float(born)) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if alive else None

    def stop(self) -> bool:
        """Stops the process and its children. Returns whether the process was running."""
        process = self.running()
        if process is not None:
            end = [process, *process.children(recursive=True)]
            for each in end:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGTERM)
            _, left = psutil.wait_procs(end, timeout=_TERM_SECONDS)
            for each in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(left, timeout=_TERM_SECONDS)
        self.pid_file.unlink(missing_ok=True)
        return process is not None

    def last_words(self, lines: int = 5) -> str:
        """Returns the last lines of the log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _LAST_BYTES))
                output = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(output[-lines:])


def is_taken(port: int) -> bool:
    """Whether a program listens on a port of this machine."""
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
