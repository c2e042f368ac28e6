"""Keys are set in the text of a pipeline file, and all else stays: comments, order, quotes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ConfigError
from pipeline.config import yaml_file
from pipeline.config.edit import with_keys, without_keys

FILE = """\
# yaml-language-server: $schema=...
name: films   # the name
data:
  path: 'pairs.csv'   # quoted
  columns: {left: user, right: film}

# how it learns
model:
  # from the paper
  objective: ials     # whole data
  dimension: 64
train:   # nothing yet

evaluate:
  bless:
    - {metric: rmse, below: 1.0}   # the rule
publish: {keep: 3}
"""


def test_values_change_and_comments_stay() -> None:
    values = {
        "model.dimension": 32,
        "model.regularization": 1e-05,
        "train.als.ridge": 2.5,
        "train.early_stopping": None,
        "publish.approve": True,
        "batch.k": 5,
    }
    assert (
        with_keys(FILE, values, "f")
        == """\
# yaml-language-server: $schema=...
name: films   # the name
data:
  path: 'pairs.csv'   # quoted
  columns: {left: user, right: film}

# how it learns
model:
  # from the paper
  objective: ials     # whole data
  dimension: 32
  regularization: 1.0e-05
train: {als: {ridge: 2.5}, early_stopping: null}   # nothing yet

evaluate:
  bless:
    - {metric: rmse, below: 1.0}   # the rule
publish: {keep: 3, approve: true}
batch:
  k: 5
"""
    )


def test_section_replaces_a_value_and_a_value_a_section() -> None:
    text = "train:\n    early_stopping:\n        # rows\n        patience: 3\n    epochs: 5 # few\n"
    assert (
        with_keys(text, {"train.early_stopping": None}, "f")
        == "train:\n    early_stopping: null\n    epochs: 5 # few\n"
    )
    assert with_keys("train:\n  early_stopping: null # off\n", {"train.early_stopping.patience": 4}, "f") == (
        "train:\n  early_stopping: {patience: 4} # off\n"
    )


@pytest.mark.parametrize(
    "text", ["model: &m {dimension: 3}\ntrain: {als: *m}\n", "model: &m\n  dimension: 3\ntrain: *m\n"]
)
def test_edit_that_changes_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"f.yaml: model.dimension cannot be set without changing something else"):
        with_keys(text, {"model.dimension": 4}, "f.yaml")


_WORDS = st.sampled_from(["a", "b", "c", "d e", "é", "x"])
_SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=6)
_TREES = st.dictionaries(
    _WORDS,
    st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORDS, inner, max_size=3),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)


@given(
    _TREES,
    st.lists(_WORDS, min_size=1, max_size=3),
    _SCALARS | st.dictionaries(_WORDS, _SCALARS, max_size=2),
    st.booleans(),
)
def test_only_the_key_changes(tree: dict[str, Any], path: list[str], value: Any, is_flow: bool) -> None:
    text = yaml_file.dump_line(tree) + "\n" if is_flow else yaml_file.dump(tree, allow_unicode=True)
    expected = tree = yaml_file.parse(text, "f")
    section = tree
    for part in path[:-1]:
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            return
    section[path[-1]] = value
    assert yaml_file.parse(with_keys(text, {".".join(path): value}, "f"), "f") == expected


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("train:\n  a: 1  # one\n  b: 2\n", "train:\n  # a: 1  # one\n  b: 2\n"),
        ("train:\n  b: 2\n  a:\n    c: 3\n    d: 4\nx: 1\n", "train:\n  b: 2\n  # a:\n  #   c: 3\n  #   d: 4\nx: 1\n"),
        ("train:\n  b: 2\n  a: 1", "train:\n  b: 2\n  # a: 1"),
        ("train: {b: 2}\n", "train: {b: 2}\n"),
        ("x: 1\n", "x: 1\n"),
    ],
    ids=("value", "section", "end of the file", "no such key", "no such section"),
)
def test_key_becomes_a_comment(text: str, left: str) -> None:
    assert without_keys(text, ["train.a"], "f") == left


def test_key_between_others_is_left_to_its_author() -> None:
    with pytest.raises(ConfigError, match=r"train\.a would have no effect any more"):
        without_keys("train: {a: 1, b: 2}\n", ["train.a"], "f")
