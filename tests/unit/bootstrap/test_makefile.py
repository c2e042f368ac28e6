"""The commands of each make target, from `make --dry-run`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.config.sections.kubeflow import Kubeflow

ROOT = Path(__file__).resolve().parents[3]


def _make(*arguments: str) -> str:
    ours = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "CONFIG", "DATA", "ROOT")  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_default_target_lists_all_targets() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    listed = {line.split()[1] for line in _make().splitlines()}
    assert listed == set(phony.group(1).split()) - {"always"}


@pytest.mark.parametrize("target", ["run-local", "test", "lint", "doctor", "check-fresh"])
def test_targets_create_venv_first(target: str) -> None:
    plan = _make("--dry-run", "--always-make", target)
    assert plan.index("bootstrap/create_venv.py") < plan.index(".venv/bin/")


@pytest.mark.parametrize(
    ("arguments", "makes_data"),
    [
        ((), True),
        (("CONFIG=./examples/word_pairs/pipeline.yaml",), True),
        (("DATA=pairs.csv",), False),
        (("CONFIG=examples/movielens/pipeline.yaml",), False),
    ],
)
def test_only_words_example_makes_data(arguments: tuple[str, ...], makes_data: bool) -> None:
    plan = _make("--dry-run", "--always-make", "run-local", *arguments)
    assert ("examples.word_pairs.make_pairs" in plan) == makes_data


def test_run_local_passes_variables() -> None:
    plan = _make("--dry-run", "run-local", "CONFIG=a b.yaml", "DATA=d.csv", "ROOT=build/x")
    assert plan.endswith(".venv/bin/kindred run --config 'a b.yaml' --data 'd.csv' --root 'build/x'\n")


@pytest.mark.parametrize("target", ["compile", "submit"])
def test_tasks_read_data_from_volume(target: str) -> None:
    found = re.search(r"--data '([^']*)'", _make("--dry-run", target))
    assert found and Kubeflow().is_mounted(found[1])
    assert "--data 'd.csv'" in _make("--dry-run", target, "DATA=d.csv")
    assert "--data" not in _make("--dry-run", target, "CONFIG=a.yaml")


def test_chosen_python_is_passed() -> None:
    assert "'python3.12' bootstrap/create_venv.py --chosen" in _make("--dry-run", "doctor", "PYTHON=python3.12")
    assert "--chosen" not in _make("--dry-run", "--always-make", "doctor")
