"""The software bill of materials of a lock."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import pytest

from bootstrap.sbom import bill

_FILES = {"sdist": {"url": "https://example.com/a.tar.gz", "hash": "sha256:00ff"}}
_LOCK: dict[str, Any] = {
    "package": [
        {
            "name": "kindred",
            "version": "0.1.0",
            "dependencies": [{"name": "a"}, {"name": "b", "version": "2"}],
            "dev-dependencies": {"dev": [{"name": "only-tests"}]},
        },
        {"name": "a", "version": "1", "dependencies": [{"name": "c"}, {"name": "a"}], **_FILES},
        {"name": "b", "version": "1"},
        {"name": "b", "version": "2"},
        {"name": "c", "version": "1", "dependencies": [{"name": "a"}]},
        {"name": "only-tests", "version": "1"},
    ]
}


def test_bill_has_what_is_needed_and_nothing_else() -> None:
    content = bill(_LOCK)
    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.5")
    assert content["metadata"]["component"]["name"] == "kindred"
    assert [entry["purl"] for entry in content["components"]] == ["pkg:pypi/a@1", "pkg:pypi/b@2", "pkg:pypi/c@1"]
    needs = {entry["ref"]: entry["dependsOn"] for entry in content["dependencies"]}
    assert needs["pkg:pypi/kindred@0.1.0"] == ["pkg:pypi/a@1", "pkg:pypi/b@2"]
    assert needs["pkg:pypi/b@2"] == []
    (reference,) = content["components"][0]["externalReferences"]
    assert reference["hashes"] == [{"alg": "SHA-256", "content": "00ff"}]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs tomllib")
def test_bill_of_our_lock_has_installed_versions() -> None:
    lock = importlib.import_module("tomllib").loads((Path(__file__).parents[3] / "uv.lock").read_text())
    components = bill(lock)["components"]
    versions: dict[str, set[str]] = {}
    for entry in components:
        versions.setdefault(entry["name"], set()).add(entry["version"])
    for name in ("tfx", "tensorflow", "apache-beam", "ml-metadata", "numpy", "pydantic"):
        assert importlib.metadata.version(name) in versions[name]
    assert "pytest" not in versions and "ruff" not in versions
    assert all(entry["externalReferences"] for entry in components)
