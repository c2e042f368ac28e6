"""A key without effect is refused. Every key of a pipeline file is either in a case here or always has an effect."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import PipelineConfig, load_config
from pipeline.config.effects import EFFECTS
from tests.unit.pipeline.config.pipeline_files import positives, refusal, write
from tests.unit.pipeline.config.test_values import KEYS
from trainer.data.pairs import Pairs
from trainer.model.table_sizes import TableSizes
from trainer.settings import training_settings, with_values
from trainer.training import fitting

SCORED: dict[str, Any] = {"name": "films", "data": {"path": "/d.csv"}}
NUMBERED = {"name": "films", "data": {"path": "/d.csv", "columns": {"left": 0, "right": 1, "score": 2}}}
POSITIVES = positives()
FILMS = {"path": "/f.csv", "id": "film", "columns": {"genres": "tags"}}
FOLDED = {"left": "l", "right": "r", "score": "s", "fold": "f"}

# By key: a value other than the default, then settings with which the key has no effect, and settings with which it
# has one. The first of each list is the base file.
CASES: dict[str, tuple[Any, list[tuple[dict[str, Any], dict[str, Any]]], tuple[dict[str, Any], dict[str, Any]]]] = {
    "data.delimiter": (";", [(SCORED, {"data.format": "parquet"})], (SCORED, {"data.format": "csv"})),
    "data.quoting": ("none", [(SCORED, {"data.format": "jsonl"})], (SCORED, {})),
    "data.comment": ("//", [(SCORED, {"data.format": "tfrecord"})], (SCORED, {"data.format": "tsv"})),
    "data.decimal": (",", [(SCORED, {"data.format": "jsonl"}), (POSITIVES, {})], (SCORED, {})),
    "data.header": (True, [(NUMBERED, {"data.format": "parquet"}), (SCORED, {})], (NUMBERED, {})),
    "data.encoding": ("cp1252", [(SCORED, {"data.format": "parquet"})], (SCORED, {"data.format": "jsonl"})),
    "data.split.eval_fraction": (
        0.2,
        [(SCORED, {"data.split": {"by": "column", "eval_folds": [1]}, "data.columns": FOLDED})],
        (SCORED, {"data.split.by": "left"}),
    ),
    "validate.max_missing_features": (0.5, [(SCORED, {})], (SCORED, {"data.right_features": FILMS})),
    "validate.max_new_values": (0.4, [(SCORED, {})], (SCORED, {"data.left_features": FILMS})),
    "validate.max_score_skew": (0.5, [(POSITIVES, {})], (SCORED, {})),
    "validate.max_score_divergence": (0.5, [(POSITIVES, {})], (SCORED, {})),
    "validate.max_statistics_rows": (99, [(POSITIVES, {})], (SCORED, {})),
    "model.bias": (
        False,
        [(POSITIVES, {"model.objective": "ials"}), (POSITIVES, {"model.objective": "cosine"})],
        (SCORED, {"train.optimizer": "als"}),
    ),
    "model.normalize": (
        True,
        [(POSITIVES, {"model.objective": "cosine"}), (POSITIVES, {"model.objective": "lightgcn"})],
        (POSITIVES, {"model.objective": "softmax"}),
    ),
    "model.regularization": (
        0.5,
        [(SCORED, {"train.optimizer": "als"}), (POSITIVES, {"model.objective": "lightgcn"})],
        (POSITIVES, {"model.objective": "ials"}),
    ),
    "model.initial_scale": (
        2.0,
        [(SCORED, {"train.optimizer": "als"}), (POSITIVES, {"model.objective": "ials"})],
        (SCORED, {"train.optimizer": "als", "train.warm_start": True}),
    ),
    "model.temperature": (
        0.5,
        [(SCORED, {}), (POSITIVES, {"model.objective": "ials"}), (POSITIVES, {"model.objective": "cosine"})],
        (SCORED, {"model.objective": "logistic"}),
    ),
    "model.margin": (
        0.5, [(SCORED, {}), (POSITIVES, {"model.objective": "softmax"})], (POSITIVES, {"model.objective": "cosine"})
    ),
    "model.negative_weight": (
        9.0, [(POSITIVES, {}), (POSITIVES, {"model.objective": "pairwise"})], (POSITIVES, {"model.objective": "cosine"})
    ),
    "model.unobserved_weight": (
        0.5,
        [
            (SCORED, {}),
            *((POSITIVES, {"model.objective": name}) for name in ("logistic", "softmax", "pairwise", "cosine")),
        ],
        (POSITIVES, {}),
    ),
    "model.negatives.count": (
        9,
        [(SCORED, {}), (SCORED, {"model.objective": "logistic"}), (POSITIVES, {})],
        (POSITIVES, {"model.objective": "logistic"}),
    ),
    "model.negatives.sampling": (
        "popularity",
        [(SCORED, {}), (SCORED, {"model.objective": "logistic"}), (POSITIVES, {})],
        (POSITIVES, {"model.objective": "cosine"}),
    ),
    "train.batch_size": (64, [(SCORED, {"train.optimizer": "als"}), (POSITIVES, {})], (SCORED, {})),
    "train.learning_rate": (0.5, [(SCORED, {"train.optimizer": "als"}), (POSITIVES, {})], (SCORED, {})),
    "train.als.copies": (2, [(SCORED, {"train.optimizer": "adam"}), (POSITIVES, {})], (SCORED, {})),
    "train.als.ridge": (2.0, [(SCORED, {"train.search.budget": 0}), (POSITIVES, {})], (SCORED, {})),
    "train.als.implicit": (9.0, [(SCORED, {"train.optimizer": "adam"}), (POSITIVES, {})], (SCORED, {})),
    "train.als.frequency_exponent": (
        0.5, [(SCORED, {"train.optimizer": "als"}), (POSITIVES, {"model.objective": "softmax"})], (POSITIVES, {})
    ),
    "model.popularity_exponent": (
        0.3, [(SCORED, {}), (POSITIVES, {"model.objective": "ials"})], (POSITIVES, {"model.objective": "spectral"})
    ),
    "train.search.budget": (
        3, [(SCORED, {"train.optimizer": "adam"}), (POSITIVES, {"train.search.settings": []})], (SCORED, {})
    ),
    "train.search.renew": (True, [(SCORED, {"encode.shared": True})], (POSITIVES, {"model.dimension": 8})),
    "evaluate.candidates": (
        "/c.csv", [(SCORED, {}), (POSITIVES, {})], (POSITIVES, {"evaluate.metrics": ["sampled_ndcg@10"]})
    ),
    "evaluate.slices": (["right_head"], [(POSITIVES, {})], (SCORED, {})),
    "batch.exclude_seen": (
        "train", [(SCORED, {"batch.lists": ["neighbors_left"]})], (SCORED, {"batch.lists": ["left"]})
    ),
    "notify.on": (["failed"], [(SCORED, {})], (SCORED, {"notify.slack": "SLACK_URL"})),
    "notify.webhook_secret": (
        "KEY", [(SCORED, {"notify.slack": "SLACK_URL"})], (SCORED, {"notify.webhook": "https://example.com/runs"})
    ),
    "beam.job_server_jar": ("/j.jar", [(SCORED, {"beam.job_endpoint": "h:1"})], (SCORED, {"beam.flink_master": "h:1"})),
    "beam.flink_version": (
        "2.0",
        [(SCORED, {"beam.job_endpoint": "h:1", "beam.flink_master": "h:2"}), (SCORED, {})],
        (SCORED, {"beam.flink_master": "h:1"}),
    ),
    "train.warm_start": (True, [(SCORED, {"train.module_file": "/t.py"})], (SCORED, {})),
    "encode.oov_hashes": (
        2,
        [(SCORED, {"train.module_file": "/t.py", "encode.oov_buckets": 4})],
        (SCORED, {"encode.oov_buckets": 4}),
    ),
}  # fmt: skip

# Keys that have an effect whatever the others are, or that another rule refuses where they have none.
ALWAYS = {
    "name", "data.path", "data.format", "data.null_words", "data.columns.left", "data.columns.right",
    "data.columns.score", "data.columns.weight", "data.columns.time", "data.columns.fold", "data.spans.latest",
    "data.spans.first", "data.spans.last", "data.age_weight", "data.split.by", "data.split.eval_folds",
    "data.duplicates", "data.max_id_bytes", "data.max_quarantined_fraction", "data.left_features",
    "data.right_features", "schema", "validate.min_rows",
    "validate.min_eval_rows", "validate.min_entities", "validate.max_entity_share", "validate.max_unseen_share",
    "validate.max_entity_distance", "encode.min_count", "encode.max_vocabulary", "encode.oov_buckets",
    "encode.shared", "train.module_file", "score.center", "score.scale", "model.dimension", "model.objective",
    "train.epochs", "train.optimizer", "train.early_stopping.validation_fraction",
    "train.early_stopping.patience", "train.early_stopping.min_delta", "train.seed", "train.data_memory_mb",
    "train.devices", "tune", "batch", "evaluate.metrics", "evaluate.bless",
    "publish.to", "publish.keep", "keep.runs", "keep.days", "notify.webhook", "notify.slack", "notify.command",
    "storage.endpoint", "storage.region", "storage.anonymous", "storage.ca_file",
    "publish.outside_root", "publish.approve", "publish.approximate",
    "publish.canary.rows", "publish.canary.max_p99_ms", "publish.canary.start_seconds", "train.search.settings",
    "publish.replay", "publish.watch",
}  # fmt: skip


def _tree(base: dict[str, Any], *keys: dict[str, Any]) -> dict[str, Any]:
    """Returns `base` with other values at dotted keys."""
    tree = copy.deepcopy(base)
    for key, value in copy.deepcopy(functools.reduce(dict.__or__, keys, {})).items():
        *path, name = key.split(".")
        functools.reduce(lambda section, part: section.setdefault(part, {}), path, tree)[name] = value
    return tree


def test_every_key_is_classified() -> None:
    leaves = {key for key, kind in KEYS.items() if ".0." not in key and not kind.startswith("section")}
    assert {key for key in CASES if not key.startswith(("beam.", "batch."))} | ALWAYS == leaves
    assert set(CASES) == {key for key, _, _ in EFFECTS}


@pytest.mark.parametrize(
    ("key", "base", "others"), [(key, *case) for key, (_, without, _) in CASES.items() for case in without]
)
def test_key_without_effect_is_refused(tmp_path: Path, key: str, base: dict[str, Any], others: dict[str, Any]) -> None:
    value = CASES[key][0]
    load_config(write(tmp_path, _tree(base, others)))
    message = refusal(tmp_path, _tree(base, others, {key: value}))
    assert f": {key}: has no effect with" in message
    assert f"(got {value!r}). Omit the key, or " in message


@pytest.mark.parametrize("key", CASES)
def test_key_with_effect_is_accepted(tmp_path: Path, key: str) -> None:
    value, _, (base, others) = CASES[key]
    load_config(write(tmp_path, _tree(base, others, {key: value})))


@pytest.mark.parametrize("key", CASES)
def test_default_value_is_accepted(tmp_path: Path, key: str) -> None:
    """A file with every key at its default, such as one written by a program, is valid."""
    _, without, _ = CASES[key]
    for base, others in without:
        tree = load_config(write(tmp_path, _tree(base, others))).to_json()
        assert load_config(write(tmp_path, tree)).to_json() == tree


def test_message_has_reason_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    assert refusal(tmp_path, _tree(SCORED, {"train.als.ridge": 2, "train.optimizer": "adagrad"})) == (
        f"{path}: train.als.ridge: has no effect with train.optimizer adagrad: it is an option of least squares (got "
        "2.0). Omit the key, or set train.optimizer to als"
    )


def test_all_keys_without_effect_are_reported(tmp_path: Path) -> None:
    message = refusal(tmp_path, _tree(SCORED, {"train.als.ridge": 2, "model.negatives.count": 3}))
    assert "train.als.ridge: has no effect" in message and "model.negatives.count: has no effect" in message


OTHER = {
    "model.dimension": 3, "model.bias": False, "model.regularization": 0.5, "model.temperature": 0.5,
    "model.margin": 0.1, "model.negative_weight": 9.0, "model.unobserved_weight": 0.5, "model.negatives.count": 9,
    "model.negatives.sampling": "popularity", "model.initial_scale": 2.0, "train.epochs": 3, "train.batch_size": 16,
    "train.learning_rate": 0.5, "train.seed": 7, "train.als.copies": 2, "train.als.ridge": 2.0,
    "train.als.frequency_exponent": 0.0, "model.popularity_exponent": 0.1,
}  # fmt: skip
ENGINES = {
    "variational": (SCORED, {"train.optimizer": "als"}),
    "ials": (POSITIVES, {"model.objective": "ials"}),
    "spectral": (POSITIVES, {"model.objective": "spectral"}),
    "blend": (POSITIVES, {"model.objective": "blend"}),
    "lightgcn": (POSITIVES, {"model.objective": "lightgcn"}),
    "regression": (SCORED, {"train.optimizer": "adagrad"}),
    "logistic": (SCORED, {"model.objective": "logistic"}),
    "sampled logistic": (POSITIVES, {"model.objective": "logistic"}),
    "softmax": (POSITIVES, {"model.objective": "softmax"}),
    "pairwise": (POSITIVES, {"model.objective": "pairwise"}),
    "cosine": (POSITIVES, {"model.objective": "cosine"}),
}
SMALL = {"model.dimension": 2, "train.epochs": 2, "train.early_stopping": None}


@pytest.fixture
def eagerly():
    """Runs without tracing, which takes a tenth of the time for a fit of a few steps and computes the same."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _fitted(base: dict[str, Any], config: PipelineConfig, changed: dict[str, Any]) -> list[np.ndarray]:
    """Returns the weights of a model of twelve by eight entities, of which some are more popular."""
    random = np.random.default_rng(3)
    left, right = np.nonzero(random.random((12, 8)) < np.linspace(0.9, 0.3, 8))
    label = random.normal(size=len(left)) if base is SCORED else np.ones(len(left))
    pairs = Pairs(left.astype(np.int32), right.astype(np.int32), label.astype(np.float32))
    _, model, train = training_settings(with_values(config.to_json(), changed))
    network, _ = fitting.fit(pairs, TableSizes(13, 9), model, train)
    return list(network.get_weights())


def _is_refused(tree: dict[str, Any], key: str) -> bool:
    try:
        PipelineConfig.model_validate(tree)
    except ValueError as error:
        return f"{key}: has no effect" in str(error)
    return False


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:Even though the `tf.config")
@pytest.mark.parametrize("engine", ENGINES)
def test_setting_changes_the_model_or_is_refused(eagerly: None, engine: str) -> None:
    """Fits decide, independently of the table: a setting is refused exactly if the fitted model is the same."""
    base, others = ENGINES[engine]
    tree = _tree(base, others, SMALL)
    config = PipelineConfig.model_validate(tree)
    expected = _fitted(base, config, {})
    for key, value in OTHER.items():
        fitted = _fitted(base, config, {key: value})
        same = len(fitted) == len(expected) and all(map(np.array_equal, fitted, expected))
        assert same == _is_refused(_tree(tree, {key: value}), key), key
