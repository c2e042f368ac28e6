"""`make flink-up` without Flink: refusals, checksums, pid files."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from bootstrap.flink import __main__ as command
from bootstrap.flink import cluster as clusters
from bootstrap.flink import packages
from bootstrap.flink.cluster import FlinkCluster, Ports
from bootstrap.flink.errors import Impossible, StepFailed
from bootstrap.flink.process import Process


def sums(folder: Path) -> str:
    return "".join(
        f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(folder.glob("*.jar"))
    )


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    folder = tmp_path / "jars"
    folder.mkdir()
    for name in ("a.jar", "b.jar"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_pinned_jars_pass(jars: Path) -> None:
    packages.verify(jars, sums(jars))


def test_changed_jar_is_refused(jars: Path) -> None:
    pinned = sums(jars)
    (jars / "b.jar").write_bytes(b"other")
    with pytest.raises(
        StepFailed, match=rf"b.jar has the sha256 {hashlib.sha256(b'other').hexdigest()}, but \w+ is pinned"
    ):
        packages.verify(jars, pinned)


def test_missing_or_extra_jar_is_refused(jars: Path) -> None:
    pinned = sums(jars)
    (jars / "a.jar").rename(jars / "c.jar")
    with pytest.raises(StepFailed, match=r"a.jar is missing, c.jar is not pinned"):
        packages.verify(jars, pinned)


def test_refused_packages_are_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = tmp_path / "pinned"
    pinned.write_text("v1")
    tries: list[Path] = []

    def fill(into: Path) -> None:
        tries.append(into)
        (into / "x").write_text("")
        if len(tries) == 1:
            raise StepFailed("another version")

    place = tmp_path / "place"
    with pytest.raises(StepFailed):
        packages._once(place, pinned, fill)
    assert not place.exists()
    assert packages._once(place, pinned, fill) == place
    packages._once(place, pinned, fill)
    assert len(tries) == 2, "fetched once"
    pinned.write_text("v2")
    packages._once(place, pinned, fill)
    assert len(tries) == 3, "fetched again because another version is pinned"


def test_checksum_error_is_not_download_error(tmp_path: Path) -> None:
    """Tests skip if a download fails, but not if a package differs from the pinned one."""
    for output, message in (
        ("error: Hash mismatch for `flink==1`\nExpected: ...", "another checksum than the pinned one"),
        ("error: no route to host", "could not be downloaded: error: no route to host"),
    ):
        with pytest.raises(StepFailed, match=message) as refused:
            packages._run("Flink", ["sh", "-c", f"printf '%s' '{output}'; exit 1"], tmp_path / "log")
        assert ("could not be downloaded" in str(refused.value)) == ("route" in output)


def test_packages_are_pinned_without_registry() -> None:
    for file in (packages.REQUIREMENTS, packages.BUILD_REQUIREMENTS):
        (line,) = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        assert re.fullmatch(r"[\w-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}", line)
    for line in packages.JAR_SUMS.read_text().splitlines():
        assert re.fullmatch(r"[0-9a-f]{64}  [\w.+-]+\.jar", line)
    pom = ElementTree.parse(packages.POM).getroot()
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    assert not pom.findall(".//m:repository", space) and not pom.findall(".//m:pluginRepository", space)
    assert all(found.text and "[" not in found.text for found in pom.findall(".//m:version", space))


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_missing_program_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda program: None if program == missing else f"/bin/{program}")
    assert command.main(["up", "--folder", str(tmp_path)]) == 2
    assert f"`{missing}` is not on PATH" in capsys.readouterr().err


def test_used_port_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "check_programs", lambda: None)
    monkeypatch.setattr(packages, "fetch", lambda folder: pytest.fail("downloads must not start before the port check"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert command.main(["up", "--folder", str(tmp_path), "--ports", f"{taken},61,62,63,64"]) == 2
    assert f"another program uses port {taken}, which job-manager needs (rest)" in capsys.readouterr().err


def test_down_without_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["down", "--folder", str(tmp_path)]) == 0
    assert command.main(["status", "--folder", str(tmp_path)]) == 1
    assert "nothing was running" in capsys.readouterr().err


def test_bad_ports_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["up", "--ports", "1,2,3,4,4"])


def test_process_starts_once_and_stops_with_children(tmp_path: Path) -> None:
    process = Process("sleeper", tmp_path)
    shell = ["sh", "-c", "echo hello; sleep 60 & wait"]
    process.start(shell)
    found = process.running()
    assert found is not None
    process.start(shell)
    again = Process("sleeper", tmp_path).running()
    assert again is not None and again.pid == found.pid, "start is idempotent, and another command finds the process"
    _until(lambda: len(found.children()) == 1)
    (child,) = found.children()
    assert process.last_words() == "hello"
    assert process.stop() and not process.stop()
    assert not found.is_running() and not child.is_running()


def test_reused_pid_is_ignored(tmp_path: Path) -> None:
    process = Process("sleeper", tmp_path)
    process.pid_file.parent.mkdir()
    process.pid_file.write_text(f"{os.getpid()} 12345.0\n")
    assert process.running() is None
    assert process.stop() is False
    process.pid_file.write_text("nonsense")
    assert process.running() is None


def test_process_ignoring_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bootstrap.flink.process._TERM_SECONDS", 0.5)
    process = Process("stubborn", tmp_path)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    process.start([sys.executable, "-c", deaf])
    _until(lambda: "deaf" in process.last_words())
    assert process.stop()
    assert process.running() is None


def test_early_exit_is_reported_with_log(tmp_path: Path) -> None:
    cluster = FlinkCluster(tmp_path, Ports(1, 2, 3, 4, 5))
    for process in cluster.processes:
        process.start(["sh", "-c", "echo no such class; exit 1" if process.name == "job-server" else "sleep 30"])
    _until(lambda: cluster.job_server.running() is None)
    try:
        with pytest.raises(StepFailed, match=r"(?s)job-server has stopped. .*no such class"):
            cluster._wait("Flink", lambda: False)
    finally:
        assert cluster.down() == ["worker-pool", "task-manager-2", "task-manager-1", "job-manager"]


def test_configuration_uses_only_loopback(tmp_path: Path) -> None:
    cluster = FlinkCluster(tmp_path, Ports(rest=18081, rpc=16123))
    cluster._configure()
    settings = yaml.safe_load((tmp_path / "conf" / "config.yaml").read_text())
    hosts = {key: value for key, value in settings.items() if key.endswith(("address", "host"))}
    assert set(hosts.values()) == {"localhost"} and len(hosts) == 6
    assert (settings["rest.port"], settings["jobmanager.rpc.port"]) == (18081, 16123)
    assert settings["taskmanager.network.sort-shuffle.min-buffers"] == 16


def test_refused_memory_settings_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "flink-dist-1.jar").write_text("")

    class Done:
        stdout, stderr = "", "IllegalConfigurationException: too little"

    monkeypatch.setattr(clusters.subprocess, "run", lambda *args, **kwargs: Done)
    with pytest.raises(StepFailed, match=r"refuses its memory settings: .*too little"):
        FlinkCluster(tmp_path)._resources(tmp_path, "TM")


def test_error_exit_codes() -> None:
    assert (Impossible.exit_code, StepFailed.exit_code) == (2, 1)


def _until(is_so: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
