"""Checks the installed versions against the lock."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from compat.distributions import BUILDS
from pipeline.commands.doctor.check import LOCK, Check, install_again

DISTRIBUTIONS = (
    "tfx",
    "tensorflow",
    "keras",
    "tensorflow-transform",
    "tensorflow-data-validation",
    "tensorflow-model-analysis",
    "tfx-bsl",
    "ml-metadata",
    "apache-beam",
    "kfp",
    "protobuf",
    "numpy",
    "pyarrow",
)
"""The packages whose versions the report shows. Others are compared with the lock too."""


def read_lock(path: Path = LOCK) -> dict[str, set[str]] | None:
    """Returns the locked versions by package. A package may have several, for different versions of Python.

    Returns None without a lock, for example in a container without the repository. Reads lines, because Python 3.10 has
    no TOML parser and uv always writes name and version in this form.
    """
    if not path.is_file():
        return None
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(
        r'^\[\[package\]\]\nname = "(.+)"\nversion = "(.+)"$', path.read_text(), re.MULTILINE
    ):
        versions.setdefault(name, set()).add(version)
    return versions


def installed_versions() -> dict[str, str]:
    """Returns the version of every installed package, by normalized name."""
    found = ((d.metadata["Name"], d.version) for d in importlib.metadata.distributions())
    versions = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found if name}
    return {name: versions[build] for name, build in BUILDS.items() if build in versions} | versions


def check_versions(installed: Mapping[str, str], locked: Mapping[str, set[str]] | None) -> Iterator[Check]:
    """Returns a check per package of `DISTRIBUTIONS`, and one for all other installed packages in the lock."""
    locked_here = locked or {}
    for name in DISTRIBUTIONS:
        yield _check_version(name, installed.get(name), locked_here.get(name))
    others = {name: version for name, version in installed.items() if name in locked_here and name not in DISTRIBUTIONS}
    wrong = [f"{name} {version}" for name, version in sorted(others.items()) if version not in locked_here[name]]
    found = f"not as locked: {', '.join(wrong)}" if wrong else f"{len(others)}, all as locked"
    yield Check("other packages", not wrong, found if locked else "no uv.lock to compare with", install_again())


def _check_version(name: str, installed: str | None, locked: set[str] | None) -> Check:
    if installed is None:
        return Check(name, False, "not installed", install_again())
    if locked and installed not in locked:
        return Check(name, False, f"{installed}, locked at {' or '.join(sorted(locked))}", install_again())
    return Check(name, True, installed)
