"""Downloads Flink (PyPI) and the Beam job server (Maven) from the configured registries, and verifies checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bootstrap import create_venv
from bootstrap.flink.errors import Impossible, StepFailed

HERE = Path(__file__).parent
REQUIREMENTS, BUILD_REQUIREMENTS, POM, JAR_SUMS = (
    HERE / name for name in ("requirements.txt", "build-requirements.txt", "pom.xml", "jars.sha256")
)
_SECONDS = 900


def check_programs() -> None:
    """Checks that Java and Maven are installed.

    Raises:
      Impossible: one of them is not on PATH.
    """
    for program, package in (("java", "a JRE of version 11 or 17"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            raise Impossible(f"`{program}` is not on PATH, but Flink needs it. Install {package}")


def fetch(folder: Path) -> tuple[Path, Path]:
    """Downloads the packages that are missing below `folder`.

    Returns:
      The folders of Flink and of the jars of the job server.

    Raises:
      StepFailed: a download failed, or a package differs from the pinned one.
    """
    return _once(folder / "flink", REQUIREMENTS, _fetch_flink), _once(folder / "job-server", JAR_SUMS, _fetch_jars)


def _once(place: Path, pinned_by: Path, fetch_into: object) -> Path:
    """Fills `place` in a staging directory. Repeats this if the file that pins its content has changed."""
    stamp, wanted = place / "pinned", pinned_by.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return place
    staged = place.with_name(f"{place.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    assert callable(fetch_into)
    fetch_into(staged)
    (staged / "pinned").write_text(wanted, encoding="utf-8")
    shutil.rmtree(place, ignore_errors=True)
    staged.rename(place)
    return place


def _fetch_flink(into: Path) -> None:
    """Installs Flink with uv, which refuses a package with another checksum than the pinned one."""
    uv = create_venv.find_uv() or create_venv.installed_uv()
    if uv is None:
        raise StepFailed("uv is missing, which `make` installs. Remove .venv and run `make doctor`")
    command = [uv, "pip", "install", "--python", sys.executable, "--target", str(into / "packages"), "--no-deps"]
    pinned = ["--require-hashes", "--build-constraints", str(BUILD_REQUIREMENTS), "--requirements", str(REQUIREMENTS)]
    _run("Flink", [*command, *pinned], into.with_name("flink.log"))
    (into / "packages" / "pyflink").rename(into / "dist")
    shutil.rmtree(into / "packages")


def _fetch_jars(into: Path) -> None:
    command = ["mvn", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies"]
    _run("Beam's job server", [*command, f"-DoutputDirectory={into}"], into.with_name("maven.log"))
    verify(into, JAR_SUMS.read_text(encoding="utf-8"))


def verify(folder: Path, sums: str) -> None:
    """Compares the jars in `folder` with pinned checksums.

    Args:
      folder: the directory of the jars.
      sums: lines in the format of `sha256sum`.

    Raises:
      StepFailed: a jar is missing, not pinned, or has another checksum.
    """
    wanted = {name: digest for digest, name in (line.split() for line in sums.splitlines())}
    jars = {path.name: path for path in folder.glob("*.jar")}
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - jars.keys())]
    faults += [f"{name} is not pinned" for name in sorted(jars.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & jars.keys()):
        digest = hashlib.sha256(jars[name].read_bytes()).hexdigest()
        if digest != wanted[name]:
            faults.append(f"{name} has the sha256 {digest}, but {wanted[name]} is pinned")
    if faults:
        raise StepFailed(
            "the jars of the job server differ from bootstrap/flink/jars.sha256: "
            f"{', '.join(faults[:3])}{' ...' if len(faults) > 3 else ''}. Do not run them. Check the Maven source."
        )


def _run(what: str, command: list[str], log: Path) -> None:
    try:
        with log.open("w") as out:
            subprocess.run(
                command, stdout=out, stderr=subprocess.STDOUT, check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL,
                env=os.environ | {"MAVEN_OPTS": os.environ.get("MAVEN_OPTS", "-Xmx512m")},
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StepFailed(f"{what} could not be downloaded within {_SECONDS // 60} minutes. See {log}") from None
    except (OSError, subprocess.CalledProcessError):
        output = log.read_text(errors="replace")
        if "hash mismatch" in output.lower():
            raise StepFailed(f"{what} has another checksum than the pinned one. Do not run it. See {log}") from None
        last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
        raise StepFailed(f"{what} could not be downloaded: {last.strip()[:300]}. See {log}") from None
