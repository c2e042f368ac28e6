"""Writes the software bill of materials of the lock as CycloneDX 1.5 JSON: `python -m bootstrap.sbom FILE`.

It lists what `pip install kindred` needs on any supported machine, with the licenses of the packages installed here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

_LOCK = Path(__file__).parents[1] / "uv.lock"
_PROJECT = "kindred"


def bill(lock: dict[str, Any]) -> dict[str, Any]:
    """Returns the bill of a parsed uv.lock."""
    packages = {_key(package): package for package in lock["package"]}
    (project,) = (key for key in packages if key[0] == _PROJECT)
    needed, waiting = {project}, [project]
    while waiting:
        new = set(_needs(packages[waiting.pop()], packages)) - needed
        needed |= new
        waiting += new
    others = sorted(needed - {project})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**_component(packages[project]), "type": "application"}},
        "components": [_component(packages[key]) for key in others],
        "dependencies": [
            {"ref": _purl(key), "dependsOn": [_purl(other) for other in sorted(_needs(packages[key], packages))]}
            for key in sorted(needed)
        ],
    }


def _key(package: dict[str, Any]) -> tuple[str, str]:
    return package["name"], package["version"]


def _needs(package: dict[str, Any], packages: dict[tuple[str, str], Any]) -> set[tuple[str, str]]:
    """Returns the packages that one needs. Of a package with several locked versions, all that the entry allows."""
    extras = package.get("optional-dependencies", {}) if package["name"] != _PROJECT else {}
    entries = [*package.get("dependencies", ()), *(entry for group in extras.values() for entry in group)]
    return {
        key
        for entry in entries
        for key in packages
        if key[0] == entry["name"] and entry.get("version", key[1]) == key[1]
    }


def _purl(key: tuple[str, str]) -> str:
    return f"pkg:pypi/{key[0]}@{key[1]}"


def _component(package: dict[str, Any]) -> dict[str, Any]:
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(_key(package)),
        "name": package["name"],
        "version": package["version"],
        "purl": _purl(_key(package)),
    }
    if licenses := _licenses(*_key(package)):
        component["licenses"] = licenses
    if files:
        component["externalReferences"] = [
            {
                "type": "distribution",
                "url": file["url"],
                "hashes": [{"alg": "SHA-256", "content": file["hash"].removeprefix("sha256:")}],
            }
            for file in files
        ]
    return component


def _licenses(name: str, version: str) -> list[dict[str, Any]]:
    """Returns the licenses of a package from its metadata, if this version is installed."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    if metadata["Version"] != version:
        return []
    for expression in metadata.get_all("License-Expression") or ():
        return [{"expression": expression}]
    classifiers = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or () if c.startswith("License :: ")]
    # Some packages have the whole text of the license in this field.
    short = [text for text in metadata.get_all("License") or () if 0 < len(text) < 100 and "\n" not in text]
    return [{"license": {"name": text}} for text in classifiers or short]


def main(path: Path) -> None:
    """Writes the bill to a file."""
    if sys.version_info < (3, 11):
        sys.exit("error: the bill of materials needs Python 3.11 or newer, which can read uv.lock")
    lock = importlib.import_module("tomllib").loads(_LOCK.read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(bill(lock), indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
