"""Every key of a pipeline file: valid values, and the refusal of others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.replay.settings import ReplaySettings
from pipeline.config import load_config
from tests.unit.pipeline.config.pipeline_files import full_tree, put, refusal, write

# Every key of a pipeline file with its type, written down here rather than read from the code.
KEYS = {
    "name": "text",
    "data": "section",
    "data.path": "text",
    "data.format": "choice",
    "data.delimiter": "text",
    "data.quoting": "choice",
    "data.encoding": "text",
    "data.decimal": "choice",
    "data.comment": "text?",
    "data.header": "switch",
    "data.null_words": "list",
    "data.columns": "section",
    "data.columns.left": "column",
    "data.columns.right": "column",
    "data.columns.score": "column?",
    "data.columns.weight": "column?",
    "data.columns.time": "column?",
    "data.columns.fold": "column?",
    "data.spans": "section",
    "data.spans.latest": "whole?",
    "data.spans.first": "bound",
    "data.spans.last": "bound",
    "data.age_weight": "absent section",
    "data.split": "section",
    "data.split.by": "choice",
    "data.split.eval_fraction": "number",
    "data.split.eval_folds": "list",
    "data.duplicates": "choice",
    "data.max_id_bytes": "whole",
    "data.max_quarantined_fraction": "number",
    "data.left_features": "absent section",
    "data.right_features": "absent section",
    "schema": "text",
    "validate": "section",
    "validate.min_rows": "whole",
    "validate.min_eval_rows": "whole",
    "validate.min_entities": "whole",
    "validate.max_entity_share": "number?",
    "validate.max_score_skew": "number?",
    "validate.max_unseen_share": "number?",
    "validate.max_entity_distance": "number?",
    "validate.max_score_divergence": "number?",
    "validate.max_missing_features": "number?",
    "validate.max_new_values": "number?",
    "validate.max_statistics_rows": "whole",
    "encode": "section",
    "encode.min_count": "whole",
    "encode.max_vocabulary": "whole?",
    "encode.oov_buckets": "whole",
    "encode.oov_hashes": "whole",
    "encode.shared": "switch",
    "score": "section",
    "score.center": "choice",
    "score.scale": "choice",
    "model": "section",
    "model.dimension": "whole",
    "model.bias": "switch",
    "model.objective": "choice",
    "model.regularization": "number",
    "model.initial_scale": "number",
    "model.normalize": "switch",
    "model.temperature": "number",
    "model.margin": "number",
    "model.negative_weight": "number",
    "model.unobserved_weight": "number",
    "model.popularity_exponent": "number",
    "model.negatives": "section",
    "model.negatives.count": "whole?",
    "model.negatives.sampling": "choice",
    "train": "section",
    "train.epochs": "whole",
    "train.batch_size": "whole",
    "train.optimizer": "choice",
    "train.learning_rate": "number",
    "train.early_stopping": "section?",
    "train.early_stopping.validation_fraction": "number",
    "train.early_stopping.patience": "whole",
    "train.early_stopping.min_delta": "number",
    "train.seed": "whole",
    "train.data_memory_mb": "whole",
    "train.devices": "choice",
    "train.als": "section",
    "train.als.copies": "whole",
    "train.als.ridge": "number?",
    "train.als.implicit": "number?",
    "train.als.frequency_exponent": "number",
    "train.warm_start": "switch",
    "train.module_file": "text?",
    "train.search": "section",
    "train.search.budget": "whole",
    "train.search.settings": "list",
    "train.search.renew": "switch",
    "tune": "absent section",
    "evaluate": "section",
    "evaluate.metrics": "list",
    "evaluate.bless": "list",
    "evaluate.slices": "list",
    "evaluate.candidates": "text?",
    "evaluate.bless.0.metric": "choice",
    "evaluate.bless.0.slice": "choice?",
    "evaluate.bless.0.better_than": "choice?",
    "evaluate.bless.0.margin": "number?",
    "publish": "section",
    "publish.to": "text",
    "publish.outside_root": "switch",
    "publish.keep": "whole",
    "publish.approve": "switch",
    "publish.approximate": "choice or switch",
    "batch": "absent section",
    "keep": "section",
    "keep.runs": "whole?",
    "keep.days": "whole?",
    "notify": "section",
    "notify.on": "list",
    "notify.webhook": "text?",
    "notify.webhook_secret": "text?",
    "notify.slack": "text?",
    "notify.command": "list?",
    "publish.canary": "section",
    "publish.canary.rows": "whole",
    "publish.canary.max_p99_ms": "number?",
    "publish.canary.start_seconds": "number",
    "publish.replay": "absent section or text",
    "publish.watch": "absent section",
    "storage": "section",
    "storage.endpoint": "text?",
    "storage.region": "text?",
    "storage.anonymous": "switch",
    "storage.ca_file": "text?",
}
WRONG: dict[str, list[Any]] = {
    "text": [1, 1.5, True, None, [], {}],
    "choice": ["no-such", "", 1, True, None, [], {}],
    "column": [True, 1.5, None, -1, [], {}],
    "number": [True, False, "0.5", "20", None, [], {}, math.nan, math.inf, -math.inf],
    "whole": [True, "20", 1.5, 1.0, None, -1, [], {}],
    "choice or switch": ["no-such", "", "true", 0, 1, None, [], {}],
    "switch": ["true", "yes", 0, 1, None, [], {}],
    "section": ["words", 1, True, None, [], ["a"]],
    "list": ["rmse", 1, None, {}],
    "bound": ["January", "", "20261101", True, 1.5, -1, [], {}],
    "absent section": ["words", 1, True, [], ["a"]],
    "absent section or text": [1, True, [], ["a"]],
}
WRONG["column?"] = [value for value in WRONG["column"] if value is not None]
WRONG |= {
    f"{kind}?": [value for value in WRONG[kind] if value is not None]
    for kind in ("whole", "section", "number", "choice", "column", "text", "list")
}
SECTIONS = [key for key, kind in KEYS.items() if kind.startswith("section")] + ["evaluate.bless.0"]


def test_table_has_every_key() -> None:
    def keys(tree: dict[str, Any], prefix: str) -> set[str]:
        found = set()
        for name, value in tree.items():
            found |= {prefix + name} | (keys(value, f"{prefix}{name}.") if isinstance(value, dict) else set())
        return found

    assert keys(full_tree(), "") == {key for key in KEYS if ".0." not in key}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, kind in KEYS.items() for value in WRONG[kind]])
def test_wrong_type_names_key_and_value(folder: Path, key: str, value: Any) -> None:
    tree = full_tree()
    put(tree, key, value)
    message = refusal(folder, tree)
    # `faults` also names the member of a union. No message may name another key.
    assert all(line.startswith(f"{folder / 'pipeline.yaml'}: {key}") for line in message.splitlines()), message
    if not isinstance(value, list | dict):
        assert f"(got {value!r})" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.split.eval_fraction", 0),
        ("data.split.eval_fraction", 1),
        ("data.split.eval_fraction", -0.1),
        ("data.split.eval_fraction", 1.0000001),
        ("data.spans.latest", 0),
        ("data.max_quarantined_fraction", -1e-9),
        ("data.max_quarantined_fraction", 1.1),
        ("encode.min_count", 0),
        ("encode.max_vocabulary", 0),
        ("encode.oov_buckets", 0),
        ("encode.oov_hashes", 0),
        ("model.dimension", 0),
        ("model.regularization", -0.01),
        ("model.initial_scale", 0),
        ("model.initial_scale", 10**400),
        ("train.epochs", 0),
        ("train.batch_size", 0),
        ("train.learning_rate", 0),
        ("train.learning_rate", -0.1),
        ("train.seed", 2**32),
        ("train.early_stopping.validation_fraction", 0),
        ("train.early_stopping.validation_fraction", 1),
        ("train.early_stopping.patience", 0),
        ("train.early_stopping.min_delta", -1),
        ("evaluate.bless", []),
        ("publish.to", ""),
        ("publish.keep", 0),
        ("notify.on", []),
        ("notify.webhook", "hooks.example.com"),
        ("notify.webhook", "https://me:secret@hooks.example.com/kindred"),
        ("notify.webhook", "https://hooks.example.com/kindred?token=secret"),
        ("notify.slack", "https://hooks.slack.com/services/T0/B0/secret"),
        ("notify.command", []),
        ("publish.approximate", "yes"),
        ("publish.approximate", 1),
        ("publish.canary", None),
        ("publish.canary.rows", 0),
        ("publish.canary.max_p99_ms", 0),
        ("publish.canary.start_seconds", 0),
        ("data.path", ""),
        ("name", ""),
        ("name", "Films"),
        ("name", "-films"),
        ("name", "films-"),
        ("name", "films\n"),
        ("name", "fílms"),
        ("name", "a/b"),
        ("name", "a" * 64),
    ],
)
def test_invalid_value_is_refused_with_key(folder: Path, key: str, value: Any) -> None:
    tree = full_tree()
    put(tree, key, value)
    message = refusal(folder, tree)
    assert message.startswith(f"{folder / 'pipeline.yaml'}: {key}: ")
    assert isinstance(value, list) or "(got " in message


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        ({"log": None}, "log"), ({"requests": 0}, "requests"), ({"min_requests": -1}, "min_requests"),
        ({"max_failed": 1.1}, "max_failed"), ({"max_score_change": -0.1}, "max_score_change"),
        ({"min_rank_overlap": "0.5"}, "min_rank_overlap"), ({"max_latency_ratio": 0}, "max_latency_ratio"),
        ({"max_latency": 2}, "max_latency: unknown key. Did you mean max_latency_ratio?"),
        ({"log": "ftp://host/log"}, "log"),
    ],
)  # fmt: skip
def test_wrong_rule_of_a_replay_is_refused_with_key(folder: Path, rules: dict[str, Any], key: str) -> None:
    tree = full_tree()
    tree["publish"]["replay"] = {"log": "requests", **rules}
    message = refusal(folder, tree)
    assert message.startswith(f"{folder / 'pipeline.yaml'}: publish.replay.{key}"), message


@pytest.mark.parametrize("replay", ["requests", {"log": "requests"}])
def test_log_of_a_replay_is_relative_to_the_file(folder: Path, replay: Any) -> None:
    tree = full_tree()
    tree["publish"]["replay"] = replay
    settings = load_config(write(folder, tree)).publish.replay
    assert settings is not None and settings == ReplaySettings(log=str(folder / "requests"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.split.eval_fraction", 1e-9),
        ("data.split.eval_fraction", 0.999),
        ("data.max_quarantined_fraction", 0),
        ("data.max_quarantined_fraction", 1),
        ("encode.max_vocabulary", None),
        ("model.regularization", 0),
        ("train.seed", 0),
        ("train.seed", 2**32 - 1),
        ("train.early_stopping", None),
        ("train.early_stopping.min_delta", 0),
        ("publish.keep", 1),
        ("publish.approximate", "auto"),
        ("publish.approximate", True),
        ("publish.approximate", False),
        ("name", "a"),
        ("name", "0-9"),
        ("name", "a" * 63),
        ("evaluate.bless.0.margin", -0.5),
    ],
)
def test_boundary_values_are_accepted(folder: Path, key: str, value: Any) -> None:
    tree = full_tree()
    put(tree, key, value)
    read: Any = load_config(write(folder, tree)).to_json()
    for part in key.split("."):
        read = read[int(part) if isinstance(read, list) else part]
    assert read == value


@given(
    section=st.sampled_from(["", *SECTIONS]),
    unknown=st.sampled_from(["str", "int", "constrained-int", "epoch", "Name", "seeds", "x y", "schema_path", "0"])
    | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, blacklist_characters="."), min_size=1, max_size=9),
)
def test_unknown_key_is_refused_with_path(folder: Path, section: str, unknown: str) -> None:
    tree = full_tree()
    key = f"{section}.{unknown}".removeprefix(".")
    if key in KEYS or key in ("evaluate.bless.0.below", "evaluate.bless.0.above"):
        return
    put(tree, key, 1)
    assert f"{folder / 'pipeline.yaml'}: {key}: unknown key" in refusal(folder, tree)


def test_non_text_key_is_refused(folder: Path) -> None:
    tree = full_tree()
    tree["train"][7] = 1
    assert "train.7" in refusal(folder, tree)
