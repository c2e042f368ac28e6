"""Every task of a compiled package runs in the image, confined, and publishes the model of a local run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.command import kindred, states
from tests.e2e.kubeflow.cluster import check_succeeded, new_run_id
from tests.e2e.kubeflow.interpreter import Interpreter
from tests.e2e.kubeflow.launcher import Start
from tests.image import podman
from tests.image.conftest import REPOSITORY, Images

WORDS = REPOSITORY / "examples" / "word_pairs" / "pipeline.yaml"
NODES = 13


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A volume of group 0, as deploy/kubeflow prepares it, with the pairs of the words example."""
    folder = tmp_path_factory.mktemp("volume")
    subprocess.run(
        [sys.executable, "-m", "examples.word_pairs.make_pairs", "--output", folder / "pairs.csv"], check=True
    )
    folder.chmod(0o2775)
    before = os.umask(0o002)
    yield folder
    os.umask(before)


@pytest.fixture(scope="module")
def local(volume: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a local run on the same pairs."""
    root = tmp_path_factory.mktemp("local")
    done = kindred("run", "--config", WORDS, "--data", volume / "pairs.csv", "--root", root, timeout=900)
    assert done.returncode == 0, done.stderr
    return root


def in_containers(image: str, user: str, mounts: Mapping[Path, str]) -> Callable[[str, bool], Start]:
    """Returns what `Interpreter` calls to start the commands of a task."""

    def starter(task: str, cold: bool) -> Start:
        def start(words: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
            return podman.confined(image, words, user=user, mounts=mounts, variables=variables)

        return start

    return starter


def package(volume: Path, folder: Path, name: str, group: str) -> str:
    """Compiles the words pipeline for a volume at /kindred. ML Metadata is a file there, so tasks need no network."""
    config = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    config["name"] = name
    config["kubeflow"] = {
        "group": group,
        "metadata": {"sqlite": f"/kindred/{name}.sqlite"},
        "task": {"retries": 0},
        "volumes": [{"claim": "kindred", "mount": "/kindred"}],
    }
    file, compiled = folder / f"{name}.yaml", folder / f"{name}-package.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    done = kindred("compile", "--config", file, "--data", "/kindred/pairs.csv", "--output", compiled)
    assert done.returncode == 0, done.stderr
    return compiled.read_text(encoding="utf-8")


def scores(model: Path, pairs: Path, folder: Path) -> list[float]:
    """Returns the scores of all pairs of a file."""
    output = folder / f"{model.parent.name}-scores.csv"
    arguments = ["--input", pairs, "--output", output, "--columns", "word,context"]
    done = kindred("score", "--model", model, *arguments)
    assert done.returncode == 0, done.stderr
    with output.open(encoding="utf-8", newline="") as rows:
        return [float(row["score"]) for row in csv.DictReader(rows)]


# The user of the image with a task for each node, and a user that a cluster chose with the default grouping.
@pytest.mark.parametrize(("user", "group"), [("10001:0", "none"), ("12345:0", "light")])
def test_confined_tasks_publish_the_model_of_a_local_run(
    images: Images, volume: Path, local: Path, tmp_path: Path, user: str, group: str
) -> None:
    name = f"words-{user.partition(':')[0]}"
    kubeflow = tmp_path / "kfp"
    kubeflow.mkdir()
    mounts = {volume: "/kindred", kubeflow: str(kubeflow)}
    run_id = new_run_id()
    starter = in_containers(images.tasks, user, mounts)
    interpreter = Interpreter(package(volume, tmp_path, name, group), kubeflow, starter=starter, release="2.16")
    result = interpreter.run(run_id)
    check_succeeded(result)
    root = volume / name
    summary: dict[str, Any] = json.loads((root / "runs" / run_id / "summary.json").read_text(encoding="utf-8"))
    assert summary["status"] == "published" and set(states(summary).values()) == {"executed"}
    assert len(states(summary)) == NODES
    ran = [task for task in result.tasks if task.codes]
    print(f"\n{user}: {len(ran)} tasks, {sum(task.ended - task.began for task in ran):.0f} s in all")
    owner = int(user.partition(":")[0])
    assert {path.stat().st_uid for path in root.rglob("*")} == {owner}
    published = scores(root / "serving" / "1", volume / "pairs.csv", tmp_path)
    expected = scores(local / "serving" / "1", volume / "pairs.csv", tmp_path)
    assert len({*published}) > 10_000
    worst = max(abs(one - other) for one, other in zip(published, expected, strict=True))
    print(f"{len(published)} scores, largest difference {worst:.2e}")
    assert published == pytest.approx(expected, abs=1e-5)


def test_image_without_command_prints_help(images: Images) -> None:
    done = podman.run("run", "--rm", *podman.CONFINED, "--user=12345:0", images.tasks)
    assert "run-local" not in done.stdout and "compile" in done.stdout


def test_check_of_the_installation_passes_in_the_image(images: Images) -> None:
    command = ["python", "-m", "pipeline.commands.doctor"]
    code, output = podman.confined(images.tasks, command, user="10001:0", mounts={})
    assert code == 0, output
