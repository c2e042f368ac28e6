"""Calls podman: builds images, inspects them, runs confined containers."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PODMAN = shlex.split(os.environ.get("PODMAN", "podman"))

CONFINED = (
    "--read-only", "--network=none", "--cap-drop=all", "--security-opt=no-new-privileges", "--tmpfs=/tmp:mode=1777",
    "--pull=never",
    # The defaults of podman can exceed what this machine permits.
    "--ulimit=nofile=4096:4096", "--ulimit=nproc=8192:8192",
)  # fmt: skip
"""Stricter than the Pod Security Standard `restricted`: the container has no network either."""


def missing() -> str | None:
    """Returns what this machine lacks to run these tests, or None."""
    if shutil.which(PODMAN[0]) is None:
        return (
            "The check of the images needs podman, which is not installed: install it (`apt-get install podman runc` "
            "on Debian), or set PODMAN to its path."
        )
    done = run("info", check=False)
    return None if done.returncode == 0 else f"podman does not work on this machine: {done.stderr.strip()}"


def run(*arguments: object, check: bool = True, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
    """Runs a command of podman."""
    command = [*PODMAN, *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise AssertionError(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def build(target: str, tag: str, context: Path, base: str | None) -> None:
    """Builds an image, with the network of this machine."""
    chosen = [f"--build-arg=BASE={base}"] if base else []
    options = ["--layers", "--network=host", "--pull=missing", f"--target={target}", f"--tag={tag}"]
    run("build", *options, *chosen, f"--file={context / 'deploy' / 'Dockerfile'}", context)


def inspect(image: str) -> dict[str, Any]:
    """Returns the description of an image."""
    (found,) = json.loads(run("image", "inspect", image).stdout)
    return found


def layers(image: str) -> dict[str, int]:
    """Returns the sizes in bytes of the layers of an image, by digest, lowest layer first."""
    sizes = [layer["size"] for layer in json.loads(run("history", "--format=json", image).stdout) if layer.get("size")]
    digests = inspect(image)["RootFS"]["Layers"]
    assert len(sizes) == len(digests), (sizes, digests)
    return dict(zip(digests, reversed(sizes), strict=True))


def confined(
    image: str, command: Sequence[str], *, user: str, mounts: Mapping[Path, str], variables: Mapping[str, str] = {}
) -> tuple[int, str]:
    """Runs a command in a confined container. Returns its exit code and output.

    Args:
      user: the ids of user and group, as in `10001:0`.
      mounts: the place in the container of each folder of this machine.
      variables: environment variables.
    """
    options = [f"--volume={folder}:{place}" for folder, place in mounts.items()]
    options += [f"--env={name}={value}" for name, value in variables.items()]
    done = run("run", "--rm", *CONFINED, f"--user={user}", *options, image, *command, check=False, timeout=900)
    return done.returncode, done.stdout + done.stderr


class Container:
    """A confined container that runs in the background, without ports. Used as a context manager."""

    def __init__(self, image: str, arguments: Sequence[str], *, user: str, mounts: Mapping[Path, str]) -> None:
        options = [f"--volume={folder}:{place}:ro" for folder, place in mounts.items()]
        started = run("run", "--detach", *CONFINED, f"--user={user}", *options, image, *arguments)
        self._id = started.stdout.strip()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        run("rm", "--force", "--time=0", self._id)

    def python(self, program: str) -> str | None:
        """Runs a Python program in the container. Returns its output, or None if it fails."""
        done = run("exec", self._id, "python", "-c", program, check=False)
        return done.stdout if done.returncode == 0 else None

    def wait_for(self, program: str, seconds: float) -> str:
        """Repeats a Python program in the container until it succeeds. Returns its output."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (output := self.python(program)) is not None:
                return output
            assert self.running, self.log
            time.sleep(0.5)
        raise AssertionError(f"no success within {seconds} s:\n{self.log}")

    def terminate(self, seconds: float) -> tuple[int, float]:
        """Sends SIGTERM, and SIGKILL after `seconds`. Returns the exit code and the seconds that the end took."""
        start = time.monotonic()
        run("stop", f"--time={int(seconds)}", self._id)
        state = json.loads(run("inspect", "--format={{json .State}}", self._id).stdout)
        return int(state["ExitCode"]), time.monotonic() - start

    @property
    def running(self) -> bool:
        return run("inspect", "--format={{.State.Running}}", self._id).stdout.strip() == "true"

    @property
    def log(self) -> str:
        done = run("logs", self._id)
        return done.stdout + done.stderr
