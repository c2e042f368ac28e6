"""A trainer of the user's own: pairs in, a checked model out, and sentences for what is wrong."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from errors import ConfigError, ModelRefused, TrainingError
from tests import written_examples
from tests.source_files import REPOSITORY
from tests.unit.trainer.transforms import analyze
from trainer import run_fn
from trainer.custom_config import trainer_config
from trainer.export.tables import read_tables
from trainer.own import TrainingPairs, module, read_pairs
from trainer.settings import EncodeSettings, ModelSettings

pytestmark = pytest.mark.tensorflow

_HEAD = "from trainer.own import read_pairs, write_model\nimport numpy as np\n"
# Users like the films of their own group.
_ROWS = [
    (b"u%d" % user, b"f%d" % film, 5.0 if user % 2 == film % 2 else 1.0)
    for user in range(8)
    for film in range(6)
    if (user + 2 * film) % 5
]


@pytest.fixture(scope="module")
def fn_args(tmp_path_factory: pytest.TempPathFactory) -> types.SimpleNamespace:
    folder = tmp_path_factory.mktemp("own")
    written_examples.write(folder / "examples", _ROWS, _ROWS[:3])
    analyze(_ROWS, folder, encode=EncodeSettings().model_dump(), score={"center": "mean", "scale": "none"})
    return types.SimpleNamespace(
        train_files=[str(folder / "examples" / "Split-train" / "*")],
        transform_output=str(folder / "transform"),
        custom_config=trainer_config(model=ModelSettings(dimension=1)),
        hyperparameters=None,
    )


def _train(fn_args: Any, source: str, folder: Path) -> None:
    run_fn.run_fn(
        types.SimpleNamespace(
            **vars(fn_args) | {"custom_config": fn_args.custom_config | {"module": {"name": "t.py", "source": source}}},
            serving_model_dir=str(folder / "model"),
            model_run_dir=str(folder / "run"),
        )
    )


def test_pairs_are_rows_of_tables(fn_args: Any) -> None:
    pairs: TrainingPairs = read_pairs(fn_args)
    mean = np.mean([score for _, _, score in _ROWS])
    found = {
        (pairs.left_ids[left], pairs.right_ids[right], round(float(label) + mean, 3))
        for left, right, label in zip(pairs.left, pairs.right, pairs.label, strict=True)
    }
    assert found == set(_ROWS)
    assert (pairs.left_rows, pairs.right_rows, pairs.shared) == (9, 7, False)


def test_documented_trainer_learns_the_groups(fn_args: Any, tmp_path: Path) -> None:
    _train(fn_args, (REPOSITORY / "examples" / "own_trainer" / "svd.py").read_text(), tmp_path)
    score = tf.saved_model.load(str(tmp_path / "model")).signatures["score"]
    found = score(left_id=tf.constant([b"u0", b"u0", b"u1"]), right_id=tf.constant([b"f2", b"f3", b"f3"]))
    assert (found["score"].numpy() > 0).tolist() == [True, False, True]
    assert (tmp_path / "run" / "history.json").read_text() == "{}"


def test_model_has_the_given_numbers(fn_args: Any, tmp_path: Path) -> None:
    source = (
        _HEAD + "def run_fn(a): write_model(a, np.full((9, 2), 3), np.full((7, 2), 2), offset=1, history={'loss': [2]})"
    )
    _train(fn_args, source, tmp_path)
    tables = read_tables(str(tmp_path / "model"))
    assert (tables.left.vectors == 3).all() and (tables.right.vectors == 2).all() and tables.offset == 1
    assert (tables.left.bias == 0).all() and tables.limits == (1.0, 5.0)
    assert (tmp_path / "run" / "history.json").read_text() == '{"loss": [2.0]}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "write_model(a, np.ones((8, 2)), np.ones((7, 2)))",
            r"left_vectors must have the shape \[9, 2\] \(got \[8, 2\]",
        ),
        (
            "write_model(a, np.ones((9, 2)), np.ones((7, 3)))",
            r"right_vectors must have the shape \[7, 2\] \(got \[7, 3\]",
        ),
        ("write_model(a, np.ones(9))", "left_vectors must have the shape"),
        ("write_model(a, np.full((9, 2), np.nan), np.ones((7, 2)))", "left_vectors has a number that is not finite"),
        ("1 / 0", "train.module_file: line 3 of t.py raised ZeroDivisionError: division by zero"),
    ],
)
def test_failure_of_the_file_is_a_sentence(fn_args: Any, tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        _train(fn_args, f"{_HEAD}def run_fn(a): {body}", tmp_path)


def test_missing_model_is_refused(fn_args: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="run_fn must write a SavedModel to"):
        _train(fn_args, "def run_fn(a): pass", tmp_path)


def test_foreign_model_is_refused_with_every_rule(fn_args: Any, tmp_path: Path) -> None:
    source = "import tensorflow as tf\ndef run_fn(a): tf.saved_model.save(tf.Module(), a.serving_model_dir)"
    with pytest.raises(ModelRefused) as refused:
        _train(fn_args, source, tmp_path)
    text = str(refused.value)
    assert "must have the signatures serving_default, score," in text and "(without serving_default" in text
    assert "the variables of the model must have the names" in text


def test_model_of_other_ids_is_refused(fn_args: Any, tmp_path: Path) -> None:
    """The file swaps its transform graph for one of other data."""
    analyze(_ROWS[:9], tmp_path, encode=EncodeSettings().model_dump(), score={"center": "mean", "scale": "none"})
    source = (
        "import copy\nfrom trainer.own import read_pairs, write_model\nimport numpy as np\n"
        f"def run_fn(a):\n b = copy.copy(a)\n b.transform_output = {str(tmp_path / 'transform')!r}\n"
        " from trainer.own.pairs import sizes_of\n s = sizes_of(b)\n"
        " write_model(b, np.ones((s.left, 2)), np.full((s.right, 2), 1.0))"
    )
    with pytest.raises(ModelRefused) as refused:
        _train(fn_args, source, tmp_path)
    assert "the left ids must be those of the transform graph" in str(refused.value)
    assert "the left tables must have 9 rows" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("def run_fn(:", "is not Python"),
        ("def train(a): pass", r"must define the function run_fn\(fn_args\)"),
    ],
)
def test_unusable_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "t.py").write_text(text)
    with pytest.raises(ConfigError, match=f"train.module_file: {tmp_path}/t.py: {message}"):
        module.read(str(tmp_path / "t.py"))
