"""What the images contain, and what a new version of Kindred changes in them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.image import podman
from tests.image.conftest import REPOSITORY, Images

MB = 1_000_000
# Measured sizes, plus room for newer packages.
LARGEST = {"tasks": 2400 * MB, "serving": 1700 * MB}

LOOK = """
import importlib.metadata, json, os, re, shutil, stat
site = "/opt/kindred/lib/python3.13/site-packages"
files = {}
for folder, folders, names in os.walk("/"):
    if folder == "/":
        folders[:] = [name for name in folders if name not in ("dev", "proc", "sys", "tmp")]
    files |= {os.path.join(folder, name): os.lstat(os.path.join(folder, name)) for name in names}
regular = {path: found for path, found in files.items() if stat.S_ISREG(found.st_mode)}
print(json.dumps({
    "files": len(regular),
    "raised": [path for path, found in regular.items() if found.st_mode & (stat.S_ISUID | stat.S_ISGID)],
    "changeable": [path for path, found in regular.items() if path.startswith("/opt")
                   and (found.st_uid != 0 or found.st_mode & 0o022)],
    "tests": [folder for folder, _, _ in os.walk("/opt/kindred") if os.path.basename(folder) == "tests"],
    "without_bytecode": [name for name in os.listdir(site + "/serving") if name.endswith(".py")
                         and not os.path.exists(f"{site}/serving/__pycache__/{name[:-3]}.cpython-313.pyc")],
    "pip": shutil.which("pip"),
    "packages": {re.sub("[-_.]+", "-", d.metadata["Name"]).lower(): d.version
                 for d in importlib.metadata.distributions()},
}))
"""


@pytest.mark.parametrize("name", ["tasks", "serving"])
def test_image_is_small_and_has_nothing_that_raises_privileges(images: Images, name: str) -> None:
    image = images[name]
    size = podman.inspect(image)["Size"]
    print(f"\n{name}: {size / MB:.0f} MB, layers {[round(layer / MB, 1) for layer in podman.layers(image).values()]}")
    assert size <= LARGEST[name]
    options = ["--rm", *podman.CONFINED, "--entrypoint=python"]
    found = json.loads(podman.run("run", *options, image, "-c", LOOK).stdout)
    assert found["files"] > 10_000
    assert found["raised"] == found["tests"] == found["without_bytecode"] == found["changeable"] == []
    assert found["pip"] is None
    locked = {
        (name, version)
        for name, version in re.findall(
            r'^name = "(.+)"\nversion = "(.+)"$', (REPOSITORY / "uv.lock").read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {*found["packages"].items()} <= locked
    names = found["packages"].keys()
    assert {"kindred", "tensorflow-cpu"} <= names and not {"tensorflow", "libclang", "pytest"} & names
    assert ({"tfx", "apache-beam", "kfp"} & names == set()) is (name == "serving")


@pytest.mark.parametrize("name", ["tasks", "serving"])
def test_new_version_changes_less_than_20_mb(images: Images, name: str, tmp_path: Path) -> None:
    for path in podman_context():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__")
        if (REPOSITORY / path).is_dir():
            shutil.copytree(REPOSITORY / path, target, ignore=ignore)
        else:
            shutil.copy2(REPOSITORY / path, target)
    for path in ("pyproject.toml", "uv.lock"):
        text = (tmp_path / path).read_text(encoding="utf-8")
        changed = re.sub(r'^(name = "kindred"\nversion = ")[^"]+', r"\g<1>99.0.0", text, count=1, flags=re.MULTILINE)
        assert changed != text
        (tmp_path / path).write_text(changed, encoding="utf-8")
    source = tmp_path / "errors" / "__init__.py"
    source.write_text(source.read_text(encoding="utf-8") + "# New.\n", encoding="utf-8")
    podman.build(name, f"localhost/kindred-check-next:{name}", tmp_path, images.base)
    before, after = podman.layers(images[name]), podman.layers(f"localhost/kindred-check-next:{name}")
    moved = {digest: size for digest, size in after.items() if digest not in before}
    print(f"\n{name}: a new version changes {sum(moved.values()) / MB:.1f} MB in {len(moved)} of {len(after)} layers")
    assert 0 < sum(moved.values()) < 20 * MB
    assert "99.0.0" in podman.run("run", "--rm", *podman.CONFINED, "--entrypoint=kindred-model-server",
                                  f"localhost/kindred-check-next:{name}", "--version").stdout  # fmt: skip


def podman_context() -> list[str]:
    """Returns the files and folders that a build reads."""
    allowed = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [".dockerignore", "deploy/Dockerfile", *(line[1:] for line in allowed if line.startswith("!"))]
