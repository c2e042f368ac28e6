"""Checks that the wheel works outside the repository: `python -m bootstrap.check_wheel`.

It builds the wheel, installs it with the locked packages in a new virtual environment, and runs its commands in a
directory outside the repository: `kindred run`, the commands that it prints, `kindred compile`, `kindred-model-server`.
`make check-fresh` does this on bare machines. A test does it with the packages of `.venv`, which takes seconds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bootstrap import create_venv

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 120
"""Seconds until the model server must answer."""

PIPELINE = """
name: installed
data: {path: pairs.csv}
model: {dimension: 4}
train: {epochs: 5}
"""
OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
"""Variables of the environment that could lead to the repository."""


class WheelError(Exception):
    """The wheel does not work. The message has the command and the end of its output."""


# --- installing -----------------------------------------------------------------------------------------------------


def build_wheel(uv: str, folder: Path) -> Path:
    """Builds the source archive and, from it, the wheel into `folder`, with the build backend of uv."""
    call([uv, "build", "--offline", "--out-dir", str(folder), str(REPOSITORY)], folder)
    (wheel,) = folder.glob("kindred-*.whl")
    return wheel


def new_environment(uv: str, venv: Path) -> None:
    """Creates a virtual environment with the running Python."""
    call([uv, "venv", "--quiet", "--python", sys.executable, str(venv)], venv.parent)


def install_locked(uv: str, venv: Path) -> None:
    """Installs the packages of the lock, as `make` does for `.venv`."""
    requirements = venv / "requirements.txt"
    export = [uv, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--output-file", str(requirements)]
    call(export, REPOSITORY)
    command = [uv, "pip", "install", "--quiet", "--python", str(venv), "--link-mode=copy", "--compile-bytecode"]
    if sys.platform == "linux":
        command += ["--python-platform", create_venv.TAGGED_PLATFORM]
    call([*command, "--requirements", str(requirements)], REPOSITORY)


def share_packages(venv: Path, site_packages: Path) -> None:
    """Lets `venv` import the packages in another environment's `site_packages`, in place of installing them."""
    (own,) = venv.glob("lib/python*/site-packages")
    # Python ignores .pth files in there, so an editable Kindred stays invisible.
    (own / "shared.pth").write_text(f"{site_packages}\n", encoding="utf-8")


def install_wheel(uv: str, venv: Path, wheel: Path) -> None:
    """Installs the wheel alone."""
    command = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--link-mode=copy", "--python", str(venv)]
    call([*command, str(wheel)], venv.parent)


# --- running --------------------------------------------------------------------------------------------------------


def try_commands(venv: Path, folder: Path) -> None:
    """Runs the commands of the installed wheel in `folder`.

    Raises:
      WheelError: one of them fails.
    """
    kindred = os.path.relpath(venv / "bin" / "kindred", folder)
    where = call([str(venv / "bin" / "python"), "-c", "import pipeline; print(pipeline.__file__)"], folder)
    if not Path(where.strip()).is_relative_to(venv):
        raise WheelError(f"the environment imports {where.strip()}, which is not in {venv}")
    print(call([kindred, "--version"], folder).strip())
    write_pipeline(folder)
    printed = call([kindred, "run", "--config", "pipeline.yaml", "--root", "root"], folder)
    commands = next_commands(printed)
    if len(commands) != 2:
        raise WheelError(f"kindred run printed {len(commands)} next commands:\n{printed}")
    for command in commands:
        call(["/bin/sh", "-c", command], folder)
    # Tasks of a cluster read from a volume.
    data = ["--data", "/kindred/pairs.csv"]
    call([kindred, "compile", "--config", "pipeline.yaml", *data, "--output", "package.yaml"], folder)
    try_server(venv, folder)


def write_pipeline(folder: Path) -> None:
    """Writes a pipeline file and its pairs: two groups of entities, similar only within a group."""
    rows = ["left_id,right_id,score"]
    for left, right in itertools.product(range(30), range(20)):
        rows.append(f"left{left},right{right},{1.0 if (left + right) % 2 else -1.0}")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "pipeline.yaml").write_text(PIPELINE, encoding="utf-8")


def next_commands(printed: str) -> list[str]:
    """Returns the commands below `Next:` in the output of a run."""
    _, _, after = printed.partition("Next:\n")
    return [line.strip() for line in re.match(r"(?:  .*\n?)*", after)[0].splitlines()]  # type: ignore[index]


def try_server(venv: Path, folder: Path) -> None:
    """Serves the published model and requests a score.

    Raises:
      WheelError: the server ends or does not answer in time.
    """
    rest, grpc = free_port(), free_port()
    command = [str(venv / "bin" / "kindred-model-server"), f"--rest_api_port={rest}", f"--port={grpc}"]
    command += ["--model_name=installed", f"--model_base_path={folder / 'root' / 'serving'}"]
    endpoint = f"http://127.0.0.1:{rest}/v1/models/installed"
    score = [str(venv / "bin" / "kindred"), "score", "--endpoint", endpoint, "left0", "right1"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(score, cwd=folder, env=environment(), capture_output=True, check=False).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                end = (folder / "server.log").read_text(errors="replace")[-2000:]
                raise WheelError(f"kindred-model-server does not answer:\n{end}")
            time.sleep(0.5)
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """Returns a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """Returns the environment without variables that could lead to the repository."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


def call(command: Sequence[str], folder: Path) -> str:
    """Runs `command` in `folder` and returns its standard output.

    Raises:
      WheelError: the command fails or prints a traceback.
    """
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0 or "Traceback" in done.stderr:
        end = (done.stdout + done.stderr)[-2000:]
        raise WheelError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{end}")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Checks the wheel and prints the steps. Returns 0 if it works, otherwise 1."""
    parser = argparse.ArgumentParser(prog="python -m bootstrap.check_wheel", description=str(__doc__).split("\n\n")[0])
    parser.parse_args(arguments)
    uv = create_venv.find_uv() or create_venv.installed_uv()
    if uv is None:
        print("uv is neither on PATH nor under build/. Run `make doctor`, which installs it.", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="kindred-wheel-") as made:
            folder = Path(made).resolve()
            venv = folder / "venv"
            wheel = build_wheel(uv, folder)
            print(f"{wheel.name}: {wheel.stat().st_size / 1e3:.0f} kB")
            new_environment(uv, venv)
            install_locked(uv, venv)
            install_wheel(uv, venv, wheel)
            print(call([str(venv / "bin" / "python"), "-m", "bootstrap.glibc"], folder).strip())
            place = folder / "elsewhere"
            place.mkdir()
            try_commands(venv, place)
    except WheelError as error:
        print(error, file=sys.stderr)
        return 1
    print("The installed wheel works.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
