"""The base of the images: the one of the Dockerfile if its registry answers, otherwise a stand-in.

The stand-in is a minimal Debian with Debian's Python, made by debootstrap. Its Python is at the place where that of the
`python` image is, and pip may install packages, as there.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from bootstrap.fresh_machines import CERTIFICATES, PASSED_ON, CheckError, Machine, bare_root, check_able
from tests.image import podman

_MACHINE = Machine("trixie", suite="trixie", packages=("python3-venv",))
_STAND_IN = "localhost/kindred-check-base:trixie"


def choose(dockerfile: Path, folder: Path) -> str:
    """Returns the name of an image that this machine has.

    Args:
      dockerfile: names the real base as the default of its argument BASE.
      folder: where the stand-in is made, and kept for the next time.

    Raises:
      AssertionError: there is neither a base nor a way to make one. The message says what is missing.
    """
    if given := os.environ.get("BASE"):
        return given
    match = re.search(r"^ARG BASE=(\S+)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    assert match, "deploy/Dockerfile has no default base"
    pulled = podman.run("pull", "--quiet", match[1], check=False)
    if pulled.returncode == 0:
        return match[1]
    reason = pulled.stderr.strip().splitlines()[-1]
    print(f"\nThe base {match[1]} cannot be pulled ({reason}). A stand-in from debootstrap replaces it.")
    if podman.run("image", "exists", _STAND_IN, check=False).returncode != 0:
        _make(folder)
    return _STAND_IN


def _make(folder: Path) -> None:
    try:
        check_able([_MACHINE])
        folder.mkdir(parents=True, exist_ok=True)
        root = bare_root(_MACHINE, folder)
    except CheckError as error:
        raise AssertionError(f"{error} Or name an image with Python 3.13 on Debian 13 in BASE.") from error
    for marker in root.glob("usr/lib/python3.*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for name in ("python", "python3"):
        link = root / "usr/local/bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("/usr/bin/python3")
    # Debian's own pip cannot be uninstalled by pip.
    install = "w=$(echo /usr/share/python-wheels/pip-*.whl) && python3 $w/pip install --no-index --no-deps $w"
    done = subprocess.run(["chroot", root, "/bin/sh", "-c", install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Builds reach the package index as this machine does.
    network = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    network |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), CERTIFICATES)
    changes = [f"--change=ENV {name}={value}" for name, value in network.items()]
    exclude = ("--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*")
    with subprocess.Popen(["tar", "--create", *exclude, f"--directory={root}", "."], stdout=subprocess.PIPE) as tar:
        command = [*podman.PODMAN, "import", "--quiet", *changes, "-", _STAND_IN]
        done = subprocess.run(command, stdin=tar.stdout, capture_output=True, text=True)
    assert (tar.returncode, done.returncode) == (0, 0), done.stderr
