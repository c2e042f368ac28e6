"""Builds the images, each once."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import pytest

from tests.image import base, podman

REPOSITORY = Path(__file__).resolve().parents[2]
VARIABLES = {"tasks": "TASKS_IMAGE", "serving": "SERVING_IMAGE"}


def pytest_sessionstart() -> None:
    if reason := podman.missing():
        pytest.exit(reason, returncode=2)


class Images:
    """Builds each image when a test first asks for it. TASKS_IMAGE and SERVING_IMAGE name images to test instead."""

    def __init__(self) -> None:
        self._names = {name: os.environ[variable] for name, variable in VARIABLES.items() if variable in os.environ}

    @functools.cached_property
    def base(self) -> str:
        return base.choose(REPOSITORY / "deploy" / "Dockerfile", Path(tempfile.gettempdir(), "kindred-check-image"))

    @property
    def tasks(self) -> str:
        return self["tasks"]

    @property
    def serving(self) -> str:
        return self["serving"]

    def __getitem__(self, name: str) -> str:
        if name not in self._names:
            podman.build(name, f"localhost/kindred-check:{name}", REPOSITORY, self.base)
            self._names[name] = f"localhost/kindred-check:{name}"
        return self._names[name]


@pytest.fixture(scope="session")
def images() -> Images:
    return Images()
