"""The pipeline file: what it may say, what it means by default, and how it is refused."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import (
    SCHEMA,
    SCHEMA_OF_POSITIVES,
    PipelineConfig,
    default_rules,
    ingest_settings,
    load_config,
)
from pipeline.errors import ConfigError

FIVE_LINES = """\
name: films
data:
  path: ratings.csv
train:
  epochs: 3
"""

# Every key of a pipeline file, with what it holds: written down here, not read from the code.
KEYS = {
    "name": "text",
    "data": "section",
    "data.path": "text",
    "data.format": "choice",
    "data.quoting": "choice",
    "data.columns": "section",
    "data.columns.left": "column",
    "data.columns.right": "column",
    "data.columns.score": "column?",
    "data.columns.weight": "column?",
    "data.columns.time": "column?",
    "data.split": "section",
    "data.split.by": "choice",
    "data.split.eval_fraction": "number",
    "data.duplicates": "choice",
    "data.max_id_bytes": "whole",
    "data.max_quarantined_fraction": "number",
    "schema": "text",
    "validate": "section",
    "validate.min_rows": "whole",
    "validate.min_entities": "whole",
    "validate.max_entity_share": "number?",
    "validate.max_score_skew": "number?",
    "validate.max_unseen_share": "number?",
    "validate.max_entity_distance": "number?",
    "validate.max_score_divergence": "number?",
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
    "model.unobserved_weight": "number",
    "model.negatives": "section",
    "model.negatives.count": "whole",
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
    "train.als.frequency_exponent": "number",
    "train.warm_start": "switch",
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
    "publish.keep": "whole",
    "publish.canary": "section",
    "publish.canary.rows": "whole",
    "publish.canary.max_p99_ms": "number?",
    "publish.canary.start_seconds": "number",
}
WRONG: dict[str, list[Any]] = {
    "text": [1, 1.5, True, None, [], {}],
    "choice": ["no-such", "", 1, True, None, [], {}],
    "column": [True, 1.5, None, -1, [], {}],
    "number": [True, False, "0.5", "20", None, [], {}, math.nan, math.inf, -math.inf],
    "whole": [True, "20", 1.5, 1.0, None, -1, [], {}],
    "switch": ["true", "yes", 0, 1, None, [], {}],
    "section": ["words", 1, True, None, [], ["a"]],
    "list": ["rmse", 1, None, {}],
    "absent section": ["words", 1, True, [], ["a"]],
}
WRONG["column?"] = [value for value in WRONG["column"] if value is not None]
WRONG |= {
    f"{kind}?": [value for value in WRONG[kind] if value is not None]
    for kind in ("whole", "section", "number", "choice", "column", "text")
}
SECTIONS = [key for key, kind in KEYS.items() if kind.startswith("section")] + ["evaluate.bless.0"]


def _write(folder: Path, tree: object) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    return path


def _full_tree() -> dict[str, Any]:
    """A file with every key, at its default; sections `kubeflow` and `beam` have tests of their own."""
    tree = PipelineConfig.model_validate({"name": "films", "data": {"path": "/d.csv"}}).to_json()
    del tree["kubeflow"], tree["beam"]
    return tree


def _put(tree: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for part in parents:
        tree = tree[int(part) if isinstance(tree, list) else part]
    tree[int(last) if isinstance(tree, list) else last] = value


def _refusal(folder: Path, tree: object) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(_write(folder, tree))
    assert refused.value.exit_code == 2
    return str(refused.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


def test_five_lines_are_enough_and_the_rest_has_defaults(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(FIVE_LINES)
    config = load_config(path)
    assert config.name == "films"
    assert config.data.path == str(tmp_path / "ratings.csv")
    assert config.train.epochs == 3
    assert (config.data.columns.left, config.data.columns.right, config.data.columns.score) == (
        "left_id",
        "right_id",
        "score",
    )
    assert config.schema_path == str(SCHEMA) and SCHEMA.is_file()
    assert config.evaluate.has_default_rules
    assert list(map(str, config.evaluate.bless)) == ["rmse better than baseline", "rmse better than last_blessed"]
    assert config.evaluate.bless == default_rules("rmse")


def _positives(**sections: Any) -> dict[str, Any]:
    return {"name": "films", "data": {"path": "/d.csv", "columns": {"left": "u", "right": "f"}}, **sections}


def test_without_a_score_pairs_are_positives(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, _positives(model={"dimension": 8})))
    assert config.data.columns.score is None
    assert (config.model.objective, config.model.dimension) == ("ials", 8)
    assert config.schema_path == str(SCHEMA_OF_POSITIVES) and SCHEMA_OF_POSITIVES.is_file()
    assert (config.score.center, config.score.scale) == ("none", "none")
    assert config.evaluate.bless == default_rules("ndcg@10") and config.evaluate.has_default_rules
    assert "recall@10" in config.evaluate.metrics
    assert ingest_settings(config).layout.columns == {"left": "u", "right": "f"}
    assert load_config(_write(tmp_path, config.to_json())) == config


@pytest.mark.parametrize("objective", ["ials", "softmax", "pairwise", "logistic"])
def test_positives_and_their_objectives(tmp_path: Path, objective: str) -> None:
    assert load_config(_write(tmp_path, _positives(model={"objective": objective}))).model.objective == objective


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"model": {"objective": "regression"}}, "model.objective: regression needs data.columns.score"),
        ({"score": {"center": "mean"}}, "score: without data.columns.score there is nothing to center or scale"),
        ({"evaluate": {"metrics": ["rmse"]}}, "evaluate: rmse needs data.columns.score"),
        ({"evaluate": {"bless": [{"metric": "auc", "above": 0.6}]}}, "evaluate: auc needs data.columns.score"),
        ({"score": {"scale": "std"}}, "score: without data.columns.score there is nothing to center or scale"),
    ],
)
def test_what_needs_scores_is_refused_without_them(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    assert _refusal(tmp_path, _positives(**sections)).startswith(f"{tmp_path / 'pipeline.yaml'}: {words}")


def test_a_model_of_signs_is_judged_by_them(tmp_path: Path) -> None:
    tree = {"name": "films", "data": {"path": "/d.csv"}, "model": {"objective": "logistic"}}
    config = load_config(_write(tmp_path, tree))
    assert config.evaluate.bless == default_rules("auc") and config.evaluate.has_default_rules
    tree["evaluate"] = {"bless": [{"metric": "rmse", "below": 1}]}
    assert list(map(str, load_config(_write(tmp_path, tree)).evaluate.bless)) == ["rmse below 1"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"metric": "rsme", "below": 1}, "evaluate.bless.0.metric: there is no such metric; there are rmse, mae, auc"),
        ({"metric": "recall", "above": 0}, "evaluate.bless.0.metric: there is no such metric"),
        ({"metric": "rmse", "slice": "left", "below": 1}, "evaluate.bless.0.slice: "),
        ({"metric": "ndcg@5", "slice": "unknown", "above": 0}, "slice: ndcg@5 is measured on left_head, left_middle"),
        ({"metric": "coverage@5", "above": 0}, "coverage is reported, and no rule can use it"),
        ({"metric": "ndcg@5", "better_than": "biases"}, "better_than: biases is no baseline of ndcg@5"),
        ({"metric": "rmse", "better_than": "popularity"}, "better_than: popularity is no baseline of rmse"),
        ({"metric": "sampled_ndcg@5", "above": 0}, "sampled_ndcg@5 needs evaluate.candidates"),
    ],
)
def test_a_rule_on_what_is_not_measured_is_refused_before_anything_runs(
    tmp_path: Path, rule: dict[str, Any], words: str
) -> None:
    tree = {"name": "films", "data": {"path": "/d.csv"}, "evaluate": {"bless": [rule]}}
    assert words in _refusal(tmp_path, tree)


def test_candidates_are_found_beside_the_file(tmp_path: Path) -> None:
    evaluate = {"candidates": "negatives.csv", "metrics": ["sampled_hit_rate@10"]}
    config = load_config(_write(tmp_path, {"name": "films", "data": {"path": "/d.csv"}, "evaluate": evaluate}))
    assert config.evaluate.candidates == str(tmp_path / "negatives.csv")
    assert config.evaluate.all_metrics == ("sampled_hit_rate@10", "rmse")


def test_the_same_bound_on_two_slices_is_two_rules(tmp_path: Path) -> None:
    bless = [{"metric": "rmse", "below": 1}, {"metric": "rmse", "slice": "left_tail", "below": 2}]
    config = load_config(_write(tmp_path, {"name": "f", "data": {"path": "/d.csv"}, "evaluate": {"bless": bless}}))
    assert list(map(str, config.evaluate.bless)) == ["rmse below 1", "rmse on left_tail below 2"]
    assert config.evaluate.measured_slices.count("left_tail") == 1


def test_the_mean_of_no_scores_is_refused(tmp_path: Path) -> None:
    tree = _positives()
    tree["data"]["duplicates"] = "mean"
    assert "data: duplicates: mean needs columns.score" in _refusal(tmp_path, tree)


@pytest.mark.parametrize("objective", ["ials", "softmax", "pairwise"])
def test_objectives_that_overlook_scores_are_refused_with_them(tmp_path: Path, objective: str) -> None:
    tree = {"name": "films", "data": {"path": "/d.csv"}, "model": {"objective": objective}}
    assert f"model.objective: {objective} takes every pair for a positive" in _refusal(tmp_path, tree)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"encode": {"oov_hashes": 2}},
            "encode: oov_hashes: at most oov_buckets, the rows they choose from (got 2 with 1)",
        ),
        (
            {"encode": {"oov_hashes": 2, "oov_buckets": 9}, "train": {"optimizer": "als"}},
            "encode.oov_hashes: 1 with train.optimizer als, which solves for single rows and not for means of rows "
            "(got 2); leave it out, or use adagrad, adam or sgd",
        ),
    ],
)
def test_hashes_that_cannot_be_are_refused(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    assert words in _refusal(tmp_path, {"name": "films", "data": {"path": "/d.csv"}} | sections)


def test_positives_with_several_hashes_are_told_which_objectives_can(tmp_path: Path) -> None:
    encode = {"oov_hashes": 2, "oov_buckets": 9}
    refusal = _refusal(tmp_path, _positives(encode=encode))
    assert refusal.endswith("use adagrad, adam or sgd with model.objective softmax, pairwise or logistic")
    config = load_config(_write(tmp_path, _positives(encode=encode, model={"objective": "softmax"})))
    assert config.encode.oov_hashes == 2


def test_the_table_above_holds_every_key_there_is() -> None:
    def keys(tree: dict[str, Any], prefix: str) -> set[str]:
        found = set()
        for name, value in tree.items():
            found |= {prefix + name} | (keys(value, f"{prefix}{name}.") if isinstance(value, dict) else set())
        return found

    assert keys(_full_tree(), "") == {key for key in KEYS if ".0." not in key}


@pytest.mark.parametrize("example", ["word_pairs", "movielens"])
def test_the_examples_own_files_are_valid(example: str) -> None:
    load_config(SCHEMA.parent.parent / "examples" / example / "pipeline.yaml")


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, kind in KEYS.items() for value in WRONG[kind]])
def test_a_value_of_the_wrong_kind_is_refused_with_its_key_and_itself(folder: Path, key: str, value: Any) -> None:
    tree = _full_tree()
    _put(tree, key, value)
    message = _refusal(folder, tree)
    # `faults` of a union name its member too; none may name another key.
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
def test_an_impossible_value_is_refused_with_its_key(folder: Path, key: str, value: Any) -> None:
    tree = _full_tree()
    _put(tree, key, value)
    message = _refusal(folder, tree)
    assert message.startswith(f"{folder / 'pipeline.yaml'}: {key}: ")
    assert isinstance(value, list) or "(got " in message


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
        ("name", "a"),
        ("name", "0-9"),
        ("name", "a" * 63),
        ("evaluate.bless.0.margin", -0.5),
    ],
)
def test_the_edges_of_what_is_possible_are_taken(folder: Path, key: str, value: Any) -> None:
    tree = _full_tree()
    _put(tree, key, value)
    read: Any = load_config(_write(folder, tree)).to_json()
    for part in key.split("."):
        read = read[int(part) if isinstance(read, list) else part]
    assert read == value


@given(
    section=st.sampled_from(["", *SECTIONS]),
    unknown=st.sampled_from(["str", "int", "constrained-int", "epoch", "Name", "seeds", "x y", "schema_path", "0"])
    | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, blacklist_characters="."), min_size=1, max_size=9),
)
def test_an_unknown_key_is_refused_with_its_full_path(folder: Path, section: str, unknown: str) -> None:
    tree = _full_tree()
    key = f"{section}.{unknown}".removeprefix(".")
    if key in KEYS or key in ("evaluate.bless.0.below", "evaluate.bless.0.above"):
        return
    _put(tree, key, 1)
    assert f"{folder / 'pipeline.yaml'}: {key}: unknown key" in _refusal(folder, tree)


def test_a_key_that_is_no_word_is_refused(folder: Path) -> None:
    tree = _full_tree()
    tree["train"][7] = 1
    assert "train.7" in _refusal(folder, tree)


def test_every_fault_is_listed_not_only_the_first(folder: Path) -> None:
    tree = {"name": "X", "data": {"path": "d", "split": {"eval_fraction": 2}}, "modle": {}, "train": {"epochs": "5"}}
    lines = _refusal(folder, tree).splitlines()
    assert len(lines) == 4
    for key in ("name", "data.split.eval_fraction", "modle", "train.epochs"):
        assert sum(f"pipeline.yaml: {key}: " in line for line in lines) == 1


def test_the_message_is_key_rule_and_value(folder: Path) -> None:
    tree = {"name": "films", "data": {"path": "d", "split": {"eval_fraction": 1}}}
    source = folder / "pipeline.yaml"
    assert _refusal(folder, tree) == f"{source}: data.split.eval_fraction: must be less than 1 (got 1)"
    assert _refusal(folder, {"name": "films"}) == f"{source}: data.path: required, and missing"


@pytest.mark.parametrize("columns", [{"left": 0, "right": 1, "score": "s"}, {"left": "a", "right": "a", "score": "s"}])
def test_columns_are_of_one_kind_and_distinct(folder: Path, columns: dict[str, Any]) -> None:
    tree = _full_tree()
    tree["data"]["columns"] = columns
    assert _refusal(folder, tree).startswith(f"{folder / 'pipeline.yaml'}: data.columns: ")


def test_splitting_by_time_needs_a_column_of_times(folder: Path) -> None:
    tree = _full_tree()
    tree["data"]["split"]["by"] = "time"
    message = _refusal(folder, tree)
    assert message.startswith(f"{folder / 'pipeline.yaml'}: data: ") and "columns.time" in message
    tree["data"]["columns"]["time"] = "at"
    assert load_config(_write(folder, tree)).data.split.by == "time"


def test_columns_by_number_mean_that_there_is_no_header(folder: Path) -> None:
    tree = _full_tree()
    assert ingest_settings(load_config(_write(folder, tree))).layout.has_header
    tree["data"]["columns"] = {"left": 2, "right": 0, "score": 1}
    assert not ingest_settings(load_config(_write(folder, tree))).layout.has_header


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"metric": "rmse"}, "exactly one of below, above, better_than"),
        ({"metric": "rmse", "below": 1, "above": 0}, "exactly one of below, above, better_than"),
        ({"metric": "rmse", "below": 1, "better_than": "baseline"}, "exactly one of below, above, better_than"),
        ({"metric": "rmse", "below": 1, "margin": 0.1}, "margin goes with better_than only"),
    ],
)
def test_a_rule_has_one_bound(folder: Path, rule: dict[str, Any], said: str) -> None:
    tree = _full_tree()
    tree["evaluate"]["bless"] = [{"metric": "mae", "below": 1}, rule]
    message = _refusal(folder, tree)
    assert message.startswith(f"{folder / 'pipeline.yaml'}: evaluate.bless.1: ")
    assert said in message


def test_a_bound_of_zero_is_a_bound(folder: Path) -> None:
    tree = _full_tree()
    tree["evaluate"]["bless"] = [{"metric": "rmse", "above": 0}, {"metric": "mae", "below": 0.0}]
    assert [str(r) for r in load_config(_write(folder, tree)).evaluate.bless] == ["rmse above 0", "mae below 0"]


def test_the_same_kind_of_bound_twice_is_refused(folder: Path) -> None:
    tree = _full_tree()
    tree["evaluate"]["bless"] = [{"metric": "rmse", "below": 1}, {"metric": "rmse", "below": 2}]
    assert "evaluate.bless: the same metric has the same kind of bound twice" in _refusal(folder, tree)
    tree["evaluate"]["bless"][1]["metric"] = "mae"
    assert len(load_config(_write(folder, tree)).evaluate.bless) == 2


FINITE = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(1, 10**9)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)
FRACTION = st.floats(0, 1, exclude_min=True, exclude_max=True)
NAMES = st.text(min_size=1, max_size=6)


def _section(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping in which every key may be absent."""
    return st.fixed_dictionaries({}, optional=keys)


COLUMNS = st.one_of(
    st.lists(names, min_size=3, max_size=5, unique=True)
    .map(lambda names: dict(zip(("left", "right", "score", "weight", "time"), names)))  # noqa: B905
    for names in (NAMES, st.integers(0, 99))
)  # fmt: skip
RULE = st.one_of(
    st.fixed_dictionaries({"below": FINITE}),
    st.fixed_dictionaries({"above": FINITE}),
    st.fixed_dictionaries(
        {"better_than": st.sampled_from(["baseline", "last_blessed"])}, optional={"margin": FINITE | st.none()}
    ),
)
TREES = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True),
        "data": st.fixed_dictionaries(
            {"path": st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1)},
            optional={
                "format": st.sampled_from(["auto", "csv", "tsv", "parquet", "tfrecord"]),
                "quoting": st.sampled_from(["auto", "double", "none"]),
                "duplicates": st.sampled_from(["keep", "last", "mean", "refuse"]),
                "max_id_bytes": WHOLE,
                "columns": COLUMNS,
                "split": _section(by=st.sampled_from(["pair", "left"]), eval_fraction=FRACTION),
                "max_quarantined_fraction": st.floats(0, 1) | st.sampled_from([0, 1]),
            },
        ),
    },
    optional={
        "encode": _section(
            min_count=WHOLE,
            max_vocabulary=WHOLE | st.none(),
            oov_buckets=WHOLE,
            oov_hashes=st.just(1),
            shared=st.booleans(),
        ),
        "score": _section(
            center=st.sampled_from(["mean", "midpoint", "none"]), scale=st.sampled_from(["std", "none"])
        ),
        "model": _section(
            dimension=WHOLE, bias=st.booleans(), regularization=st.just(0) | POSITIVE, initial_scale=POSITIVE
        ),
        "train": _section(
            epochs=WHOLE,
            batch_size=WHOLE,
            optimizer=st.sampled_from(["adagrad", "adam", "sgd"]),
            learning_rate=POSITIVE | WHOLE,
            seed=st.integers(0, 2**32 - 1),
            warm_start=st.booleans(),
            early_stopping=st.none() | _section(validation_fraction=FRACTION, patience=WHOLE, min_delta=POSITIVE),
        ),
        "evaluate": _section(
            metrics=st.lists(st.sampled_from(["rmse", "mae"]), max_size=2, unique=True),
            bless=RULE.map(lambda rule: [{"metric": "rmse", **rule}, {"metric": "mae", **rule}]),
        ),
        "publish": _section(to=NAMES, keep=WHOLE),
    },
)  # fmt: skip


@given(TREES)
def test_any_valid_file_reads_as_it_says_and_round_trips(folder: Path, tree: dict[str, Any]) -> None:
    config = load_config(_write(folder, tree))
    whole = config.to_json()
    assert json.loads(json.dumps(whole)) == whole

    def says(said: Any, read: Any) -> bool:
        if isinstance(said, dict):
            return all(key == "path" or says(value, read[key]) for key, value in said.items())
        if isinstance(said, list):
            return len(said) == len(read) and all(map(says, said, read))
        return bool(said == read)

    assert says(tree, whole)
    assert PipelineConfig.model_validate(copy.deepcopy(whole)) == config
    assert load_config(_write(folder, whole)) == config


def test_a_configuration_is_frozen(folder: Path) -> None:
    config = load_config(_write(folder, _full_tree()))
    with pytest.raises(ValueError, match="frozen"):
        config.train.epochs = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.epochs=5", "train", "epochs", 5),
        ("train.learning_rate=1e-3", "train", "learning_rate", 0.001),
        ("train.early_stopping=null", "train", "early_stopping", None),
        ("train.early_stopping=", "train", "early_stopping", None),
        ("model.bias=false", "model", "bias", False),
        ("publish.to=a=b", "publish", "to", "a=b"),
        ("evaluate.bless=[{metric: rmse, below: 2}]", "evaluate", "bless", None),
    ],
)
def test_an_override_goes_on_top_of_the_file(tmp_path: Path, override: str, section: str, key: str, value: Any) -> None:
    tree = {"name": "films", "data": {"path": "d"}, "train": {"epochs": 9, "seed": 4}}
    config = load_config(_write(tmp_path, tree), [override])
    if key == "bless":
        assert [rule.below for rule in config.evaluate.bless] == [2]
    else:
        assert getattr(getattr(config, section), key) == value
    assert config.train.seed == 4


def test_later_overrides_win_and_may_start_a_section(tmp_path: Path) -> None:
    path = _write(tmp_path, {"name": "films", "data": {"path": "d"}, "train": {"early_stopping": None}})
    config = load_config(path, ["train.epochs=5", "train.epochs=6", "train.early_stopping.patience=7"])
    assert config.train.epochs == 6
    assert config.train.early_stopping is not None and config.train.early_stopping.patience == 7


@pytest.mark.parametrize(
    "override",
    ["train.epochs", "=5", "train.=5", ".epochs=5", "train..epochs=5", "", "name.x=1", "evaluate.bless.0.below=1"],
)
def test_an_override_of_no_such_form_is_refused(tmp_path: Path, override: str) -> None:
    path = _write(tmp_path, {"name": "films", "data": {"path": "d"}, "evaluate": {"bless": []}})
    with pytest.raises(ConfigError) as refused:
        load_config(path, [override])
    assert str(refused.value).startswith(f"--set {override!r}: ")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epochs=many", "train.epochs: must be a valid integer (got 'many')"),
        ("train.epoch=5", "train.epoch: unknown key"),
        ("train.epochs=[1", "not valid YAML"),
    ],
)
def test_an_override_is_validated_like_the_file(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(_write(tmp_path, {"name": "films", "data": {"path": "d"}}), [override])
    assert said in str(refused.value)


def test_relative_paths_are_relative_to_the_file_and_data_to_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "shell").mkdir()
    monkeypatch.chdir(tmp_path / "shell")
    tree = {"name": "films", "data": {"path": "../d/*.csv"}, "schema": "s.pbtxt"}
    path = _write(tmp_path / "files", tree).relative_to(tmp_path)
    for given_path in (tmp_path / path, Path("..") / path):
        config = load_config(given_path)
        assert Path(config.data.path).is_absolute()
        assert Path(config.data.path).resolve() == tmp_path / "d" / "*.csv"
        assert config.schema_path == str(tmp_path / "files" / "s.pbtxt")
    assert load_config(tmp_path / path, data_path="x.csv").data.path == str(tmp_path / "shell" / "x.csv")
    assert load_config(tmp_path / path, ["data.path=o.csv"]).data.path == str(tmp_path / "files" / "o.csv")
    assert load_config(tmp_path / path, ["data.path=/o.csv"]).data.path == "/o.csv"


def test_urls_are_not_made_absolute(tmp_path: Path) -> None:
    path = _write(tmp_path, {"name": "films", "data": {"path": "gs://b/../d/*.csv"}, "schema": "gs://b/s.pbtxt"})
    config = load_config(path)
    assert (config.data.path, config.schema_path) == ("gs://b/../d/*.csv", "gs://b/s.pbtxt")
    assert load_config(path, data_path="s3://b/x.csv").data.path == "s3://b/x.csv"


def test_data_on_the_command_line_needs_none_in_the_file(tmp_path: Path) -> None:
    for tree in ({"name": "films"}, {"name": "films", "data": {}}, {"name": "films", "data": None}):
        assert load_config(_write(tmp_path, tree), data_path="/x.csv").data.path == "/x.csv"


@pytest.mark.parametrize("text", ["", "- name", "name", "3", "null"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"p\.yaml: a pipeline file is a mapping"):
        load_config(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    for path, said in (
        (tmp_path / "none.yaml", "no such pipeline file"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin.yaml", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            load_config(path)
        assert str(refused.value).startswith(f"{path}: ")
