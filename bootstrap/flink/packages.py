"""Fetches Flink (PyPI) and Beam's job server (Maven) from the configured registries, and proves them by checksum."""

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
    """Looks for Java and Maven.

    Raises:
      Impossible: one is missing, or Java is too old.
    """
    for program, package in (("java", "a JRE of version 11 or 17"), ("mvn", "Maven")):
        if shutil.which(program) is None:
            raise Impossible(f"there is no `{program}` on PATH, and Flink needs it: install {package}")


def fetch(folder: Path) -> tuple[Path, Path]:
    """The folders of Flink and of the job server's jars below `folder`; fetched unless they are there already.

    Raises:
      StepFailed: a package cannot be had, or is not the pinned one.
    """
    return _once(folder / "flink", REQUIREMENTS, _fetch_flink), _once(folder / "job-server", JAR_SUMS, _fetch_jars)


def _once(place: Path, pinned_by: Path, fetch_into: object) -> Path:
    """Fills `place` whole or not at all; again when the file that pins its content has changed."""
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
    """uv refuses a package whose checksum is not the pinned one."""
    uv = create_venv.find_uv() or create_venv.installed_uv()
    if uv is None:
        raise StepFailed("there is no uv, which `make` installs: remove .venv and run `make doctor`")
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
    """Compares the jars in `folder` with `sums`, lines as `sha256sum` writes them.

    Raises:
      StepFailed: a jar is missing, one too many, or another than was pinned.
    """
    wanted = {name: digest for digest, name in (line.split() for line in sums.splitlines())}
    found = {path.name: path for path in folder.glob("*.jar")}
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    faults += [f"{name} is not pinned" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        digest = hashlib.sha256(found[name].read_bytes()).hexdigest()
        if digest != wanted[name]:
            faults.append(f"{name} has the sha256 {digest}, and {wanted[name]} is pinned")
    if faults:
        raise StepFailed(
            "the job server's jars are not those of bootstrap/flink/jars.sha256: "
            f"{'; '.join(faults[:3])}{' ...' if len(faults) > 3 else ''}. Do not run them; see where Maven got them."
        )


def _run(what: str, command: list[str], log: Path) -> None:
    try:
        with log.open("w") as out:
            subprocess.run(
                command, stdout=out, stderr=subprocess.STDOUT, check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL,
                env=os.environ | {"MAVEN_OPTS": os.environ.get("MAVEN_OPTS", "-Xmx512m")},
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StepFailed(f"{what} could not be fetched within {_SECONDS // 60} minutes; see {log}") from None
    except (OSError, subprocess.CalledProcessError):
        said = log.read_text(errors="replace")
        if "hash mismatch" in said.lower():
            raise StepFailed(
                f"{what} is not what is pinned: its checksum is another one. Do not run it; see {log}"
            ) from None
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        raise StepFailed(f"{what} could not be fetched: {last.strip()[:300]}; see {log}") from None
