"""Other libraries that benchmarks compare with, in a separate environment: they are not part of this project."""

from __future__ import annotations

import glob
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_PEERS = ("implicit==0.7.3", "scikit-surprise==1.1.5", "threadpoolctl")
_SCRIPT = Path(__file__).with_name("peers.py")


def environment(cache: Path) -> Path:
    """Returns the interpreter of the environment with the other libraries. Creates it unless it exists."""
    folder = cache.absolute() / "peers"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = next(iter(sorted(glob.glob("build/uv-*/bin/uv"))), "uv")
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", str(python), *_PEERS],
        ):
            if subprocess.run(command, check=False).returncode:
                sys.exit(f"{' '.join(command)} failed. The other libraries cannot be installed")
        (folder / "complete").touch()
    return python


def training(python: Path, kind: str, file: Path, stored: dict[str, Any]) -> Callable[[int], tuple[float, np.ndarray]]:
    """Returns a training of another library in a separate process."""
    np.savez(file, **stored)

    def run(epochs: int) -> tuple[float, np.ndarray]:
        command = [str(python), str(_SCRIPT), kind, str(file), str(epochs)]
        finished = subprocess.run(command, capture_output=True, check=False, text=True)
        if finished.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{finished.stderr[-4000:]}")
        return json.loads(finished.stdout.splitlines()[-1])["seconds"], np.load(file.with_suffix(".scores.npy"))

    return run
