"""The JSON Schema of a pipeline file is up to date, accepts what a run accepts, and refuses wrong keys and values."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jsonschema
import pydantic
import pytest

from pipeline.config import PipelineConfig, json_schema, yaml_file
from tests.unit.docs.pages import ROOT
from tests.unit.pipeline.config.pipeline_files import full_tree, positives, put

_SCHEMA = json.loads(json_schema.FILE.read_text(encoding="utf-8"))
_VALIDATOR = jsonschema.Draft202012Validator(_SCHEMA)
_FILES = sorted(ROOT.glob("examples/**/pipeline*.yaml")) + sorted(ROOT.glob("benchmarks/pipelines/*.yaml"))


def _faults(tree: Any) -> list[str]:
    return [error.message for error in _VALIDATOR.iter_errors(tree)]


def test_schema_is_up_to_date() -> None:
    page = (ROOT / "docs" / "pipeline-file.md").read_text(encoding="utf-8")
    assert json_schema.FILE.read_text(encoding="utf-8") == json_schema.generate(page), (
        "the settings or their descriptions have changed: python -m pipeline.config.json_schema"
    )


def test_schema_is_valid_and_the_same_on_every_machine() -> None:
    jsonschema.Draft202012Validator.check_schema(_SCHEMA)
    assert str(ROOT) not in json_schema.FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_of_the_repository_are_accepted(path: Path) -> None:
    tree = yaml_file.parse(path.read_text(encoding="utf-8"), str(path))
    assert _faults(tree) == []


def test_all_defaults_and_positives_are_accepted() -> None:
    assert _faults(full_tree()) == []
    assert _faults(positives()) == []


def _sections(tree: Any, key: str = "") -> Iterator[str]:
    """Yields the dotted key of each section."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield f"{key}{name}"
            yield from _sections(value, f"{key}{name}.")


def _leaves(tree: Any, key: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{key}{name}.")
        else:
            yield f"{key}{name}"


@pytest.mark.parametrize("section", ["", *_sections(full_tree())])
def test_unknown_key_is_refused_everywhere(section: str) -> None:
    tree = full_tree()
    put(tree, f"{section}.unknown".lstrip("."), 1)
    assert "unknown" in "".join(_faults(tree))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.epochs", 0),
        ("train.epochs", "many"),
        ("data.split.eval_fraction", 1.5),
        ("data.max_quarantined_fraction", -0.1),
        ("data.format", "xml"),
        ("model.objective", "regresion"),
        ("encode.shared", "yes"),
        ("name", "Films!"),
    ],
)
def test_wrong_value_is_refused(key: str, value: Any) -> None:
    tree = full_tree()
    put(tree, key, value)
    assert _faults(tree)


def test_documented_keys_have_their_meaning() -> None:
    split = _SCHEMA["$defs"]["SplitSettings"]["properties"]
    assert split["by"]["description"].startswith("`pair`: by a hash of both ids")
    assert ".md" not in split["by"]["description"]


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5000), st.floats(-2, 5, allow_nan=False),
    st.sampled_from(["auto", "x", "mean"]), st.lists(st.sampled_from(["rmse", "auc", "x", 1]), max_size=2),
)  # fmt: skip


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(key=st.sampled_from(sorted(_leaves(full_tree()))), value=_VALUES)
def test_what_a_run_accepts_is_accepted(key: str, value: Any) -> None:
    tree = copy.deepcopy(full_tree())
    put(tree, key, value)
    try:
        PipelineConfig.model_validate(tree)
    except pydantic.ValidationError:
        return
    assert _faults(tree) == []
