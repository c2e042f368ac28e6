"""Starts, checks and stops one job manager, two task managers, the Beam job server and a pool of Python workers."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bootstrap.flink import packages
from bootstrap.flink.errors import Impossible, StepFailed
from bootstrap.flink.process import Process, is_taken

TASK_MANAGERS, SLOTS = 2, 2
"""Number of task managers, and slots of each. After the loss of one, a job of parallelism two still fits."""

_START_SECONDS = 90
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"
_OPENED = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.net", "java.io", "java.nio", "java.text", "java.time",
    "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch",
)  # fmt: skip
_JAVA = ["java", *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED)]


@dataclasses.dataclass(frozen=True)
class Ports:
    """Ports of the services, all on loopback."""

    rest: int = 8081
    rpc: int = 6123
    jobs: int = 8099
    artifacts: int = 8098
    workers: int = 50000


class FlinkCluster:
    """A standalone Flink cluster on this machine."""

    def __init__(self, folder: Path, ports: Ports = Ports(), fetched: Path | None = None) -> None:
        """Describes a cluster without starting it.

        Args:
          folder: the directory of configuration, pid files and logs.
          ports: the ports of the services.
          fetched: the directory of downloaded packages, to share them between clusters. Defaults to `folder`.
        """
        self.folder = folder.absolute()
        self.ports = ports
        self._fetched = (fetched or folder).absolute()
        self.job_manager, self.job_server, self.worker_pool = (
            Process(name, self.folder) for name in ("job-manager", "job-server", "worker-pool")
        )
        self.task_managers = [Process(f"task-manager-{number + 1}", self.folder) for number in range(TASK_MANAGERS)]

    @property
    def processes(self) -> list[Process]:
        """All processes, in start order."""
        return [self.job_manager, *self.task_managers, self.worker_pool, self.job_server]

    def up(self, say: Callable[[str], None]) -> None:
        """Starts the processes that do not run yet, and waits until they respond.

        Args:
          say: prints one line of progress.

        Raises:
          Impossible: Java or Maven is missing, or another program uses a port.
          StepFailed: a package differs from the pinned one, or a process ends or does not respond in time.
        """
        packages.check_programs()
        with self._alone():
            self._check_ports()
            since = time.monotonic()
            flink, jars = packages.fetch(self._fetched)
            say(f"packages         {time.monotonic() - since:5.1f} s  {self._fetched}")
            try:
                self._start(flink / "dist", jars, say)
            except StepFailed:
                self._stop()
                raise

    def down(self) -> list[str]:
        """Stops the running processes and returns their names."""
        with self._alone():
            return self._stop()

    def slots(self) -> int:
        """Returns the number of free slots, or 0 if the job manager does not respond."""
        return int((self._overview() or {}).get("slots-available", 0))

    def _stop(self) -> list[str]:
        return [process.name for process in reversed(self.processes) if process.stop()]

    def _check_ports(self) -> None:
        of = {
            "rest": self.job_manager, "rpc": self.job_manager, "jobs": self.job_server, "artifacts": self.job_server,
            "workers": self.worker_pool,
        }  # fmt: skip
        for name, process in of.items():
            port = getattr(self.ports, name)
            if process.running() is None and is_taken(port):
                raise Impossible(
                    f"another program uses port {port}, which {process.name} needs ({name}). Stop the program, or "
                    "set other ports with --ports"
                )

    def _start(self, flink: Path, jars: Path, say: Callable[[str], None]) -> None:
        self._configure()
        since = time.monotonic()
        self._start_flink(flink, jars)
        pool = [sys.executable, "-m", "pipeline.beam.pool", f"--port={self.ports.workers}"]
        self.worker_pool.start(pool, os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
        driver = "org.apache.beam.runners.flink.FlinkJobServerDriver"
        server = [f"--flink-master=localhost:{self.ports.rest}", "--job-host=localhost", "--clean-artifacts-per-job"]
        ports = [f"--job-port={self.ports.jobs}", f"--artifact-port={self.ports.artifacts}", "--expansion-port=-1"]
        artifacts = f"--artifacts-dir={self.folder / 'artifacts'}"
        memory = ["-Xmx512m", "-Djava.awt.headless=true"]
        self.job_server.start([*_JAVA, *memory, "-cp", f"{jars}/*", driver, *server, *ports, artifacts])
        everything = TASK_MANAGERS * SLOTS
        self._wait("Flink", lambda: int((self._overview() or {}).get("slots-total", 0)) >= everything)
        seconds = time.monotonic() - since
        say(f"Flink            {seconds:5.1f} s  http://localhost:{self.ports.rest}, {everything} slots")
        self._wait("the worker pool", lambda: is_taken(self.ports.workers))
        self._wait("the job server", lambda: is_taken(self.ports.jobs) and is_taken(self.ports.artifacts))
        say(f"Beam's services  {time.monotonic() - since:5.1f} s  jobs at localhost:{self.ports.jobs}, "
            f"workers at localhost:{self.ports.workers}")  # fmt: skip

    def _start_flink(self, flink: Path, jars: Path) -> None:
        logging = [f"-Dlog4j.configurationFile=file:{self.folder / 'conf' / 'log4j-console.properties'}"]
        # With Beam on the class path of the task managers, a job keeps its Python workers between stages, for the time
        # of --environment_cache_millis. With Beam in the jars of the job, every stage starts new workers.
        path = ["-cp", f"{flink}/lib/*:{jars}/*"]
        entry = {
            "JM": "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            "TM": "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
        }
        resources = {kind: self._resources(flink, kind) for kind in entry if self._lacks(kind)}
        for process in (self.job_manager, *self.task_managers):
            kind = "JM" if process is self.job_manager else "TM"
            if process.running() is None:
                memory, settings = resources[kind]
                configuration = ["--configDir", str(self.folder / "conf"), *settings]
                process.start([*_JAVA, *memory, *logging, *path, entry[kind], *configuration])

    def _lacks(self, kind: str) -> bool:
        return any(
            process.running() is None for process in ([self.job_manager] if kind == "JM" else self.task_managers)
        )

    def _resources(self, flink: Path, kind: str) -> tuple[list[str], list[str]]:
        """Returns JVM options and Flink settings, computed by the tool that the Flink start scripts use."""
        tool = ["org.apache.flink.runtime.util.bash.BashJavaUtils", f"GET_{kind}_RESOURCE_PARAMS"]
        path = f"{flink}/bin/bash-java-utils.jar:{next(flink.glob('lib/flink-dist-*.jar'))}"
        command = ["java", "-cp", path, *tool, "--configDir", str(self.folder / "conf")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        results = [line.removeprefix(_RESULT).split() for line in done.stdout.splitlines() if line.startswith(_RESULT)]
        if len(results) != 2:
            raise StepFailed(f"Flink refuses its memory settings: {(done.stderr or done.stdout)[-500:]}")
        return results[0], results[1]

    def _configure(self) -> None:
        conf = self.folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        for name in ("run", "log", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        settings = _SETTINGS.format(
            rest=self.ports.rest, rpc=self.ports.rpc, slots=SLOTS, tmp=json.dumps(str(self.folder / "tmp"))
        )
        (conf / "config.yaml").write_text(settings, encoding="utf-8")
        (conf / "log4j-console.properties").write_text(_LOGGING, encoding="utf-8")

    def _overview(self) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://localhost:{self.ports.rest}/overview", timeout=2) as answer:
                return dict(json.load(answer))
        except (OSError, ValueError):
            return None

    def _wait(self, what: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not is_ready():
            dead = next((process for process in self.processes if process.running() is None), None)
            if dead is not None:
                raise StepFailed(f"{dead.name} has stopped. The end of {dead.log}:\n{dead.last_words()}")
            if time.monotonic() > deadline:
                raise StepFailed(f"{what} did not start within {_START_SECONDS} s. See {self.folder / 'log'}")
            time.sleep(0.2)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Lets only one command run at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


# Without the two settings of network memory, the sort shuffle of a job with many stages fails with "an insufficient
# number of network buffers". The heartbeats detect a lost task manager within seconds, and Flink restarts the job.
_SETTINGS = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: localhost
jobmanager.memory.process.size: 1024m
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest}
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: {slots}
taskmanager.load-balance.mode: SLOTS
taskmanager.memory.process.size: 2048m
taskmanager.memory.managed.fraction: 0.2
taskmanager.memory.network.min: 512m
taskmanager.memory.network.max: 512m
taskmanager.network.sort-shuffle.min-buffers: 16
heartbeat.interval: 2000
heartbeat.timeout: 20000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 3
restart-strategy.fixed-delay.delay: 2 s
slot.request.timeout: 60000
classloader.resolve-order: parent-first
io.tmp.dirs: {tmp}
"""

_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss} %-5p %c{1} %m%n
"""
