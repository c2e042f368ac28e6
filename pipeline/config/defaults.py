"""Defaults that depend on another section: schema, objective, optimizer and rules for each kind of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import schemas
from components.evaluator.settings import default_rules
from trainer.settings import KEYS_OF, LIGHTGCN, OF_LABELS, SEARCHABLE, SOLVED_BY

# The curated schemas, for pairs with scores and for positives.
SCHEMA, SCHEMA_OF_POSITIVES = (Path(schemas.__file__).with_name(name) for name in ("pairs.pbtxt", "positives.pbtxt"))

_POSITIVES: dict[str, dict[str, Any]] = {
    "score": {"center": "none", "scale": "none"},
    "evaluate": {
        "metrics": ["recall@10", "ndcg@10", "hit_rate@10", "mrr@10", "map@10", "coverage@10"],
        "bless": [rule.model_dump() for rule in default_rules("ndcg@10")],
    },
}
# Defaults of objectives with their own solver.
_OF_OBJECTIVES: dict[str, dict[str, Any]] = {
    name: {"train.optimizer": optimizer} for name, optimizer in SOLVED_BY.items()
} | {"lightgcn": LIGHTGCN}
_LOGISTIC = {"evaluate": {"bless": [rule.model_dump() for rule in default_rules("auc")]}}


def by_labels(tree: Any) -> Any:
    """Adds defaults that depend on whether pairs have a score, and whether its value or its sign is learned.

    Args:
      tree: a pipeline file before validation.

    Returns:
      The tree with the defaults.
    """
    defaults: dict[str, Any] = {}
    if not _scored(tree):
        objective = "softmax"
        if _fits_least_squares(tree):
            objective = "spectral" if _value(tree, "model.popularity_exponent") is not None else "ials"
        defaults = _POSITIVES | {"model": {"objective": objective}}
        if _value(tree, "data.right_features") is not None:
            evaluate = _POSITIVES["evaluate"]
            evaluate = evaluate | {"metrics": [*evaluate["metrics"], "cold_recall@10", "cold_ndcg@10"]}
            defaults = defaults | {"evaluate": evaluate}
        tree = {"schema": str(SCHEMA_OF_POSITIVES)} | tree
    elif _get(_get(tree, "model"), "objective") == "logistic":
        defaults = _LOGISTIC
    objective = _get(_get(tree, "model"), "objective") or defaults.get("model", {}).get("objective")
    for key, value in (_OF_OBJECTIVES.get(objective, {}) if isinstance(objective, str) else {}).items():
        section, name = key.split(".")
        defaults = defaults | {section: defaults.get(section, {}) | {name: value}}
    held = {key: tree.get(key, {}) for key in defaults}
    keys = open_keys(tree)
    tree = tree | {key: defaults[key] | value for key, value in held.items() if isinstance(value, dict)}
    return _with_search(tree, keys)


def _with_search(tree: Any, keys: tuple[str, ...]) -> Any:
    """Returns `tree` with `train.search.settings`, unless it has them or is not valid."""
    train = tree.get("train", {})
    search = train.get("search", {}) if isinstance(train, dict) else None
    if not isinstance(search, dict):
        return tree
    return tree | {"train": train | {"search": {"settings": list(keys)} | search}}


def open_keys(tree: Any) -> tuple[str, ...]:
    """Returns the settings that a pipeline file leaves to `train.search`.

    These are the searchable settings without a value in the file. There are none if the file has all but minor ones,
    sets anything that least squares cannot do or does not use, starts from an earlier model, or lists parameters to
    tune. Nor if a parameter of a run decides about least squares.

    Args:
      tree: a pipeline file before defaults.
    """
    if _value(tree, "tune.parameters") is not None or not _fits_least_squares(tree) or _uses_gradients(tree):
        return ()
    scored = _scored(tree)
    given = {key for key in SEARCHABLE[scored] if _value(tree, key) is not None}
    objective = _get(_get(tree, "model"), "objective")
    if objective is None and not scored:
        objective = next((name for name, keys in KEYS_OF.items() if any(_value(tree, key) for key in keys)), None)
        given |= {"model.objective"} if objective else set()
    parameters = _value(tree, "kubeflow.parameters")
    if isinstance(parameters, list | tuple):
        # A parameter of a run has the value that the run gives it.
        set_by_run = {key for key in SEARCHABLE[scored] if any(f"{key}.".startswith(f"{name}.") for name in parameters)}
        if set_by_run & {"model.objective", "train.optimizer"}:
            return ()
        given |= set_by_run
    others = {key for name, keys in KEYS_OF.items() if objective not in (None, "blend", name) for key in keys}
    keys = tuple(key for key in SEARCHABLE[scored] if key not in given | others)
    return () if set(keys) <= _MINOR[scored] else keys


# Settings that are no reason for a search if the file has all others.
_MINOR = {
    True: {"model.objective", "train.als.copies", "train.epochs", "train.optimizer"},
    False: {"train.epochs"},
}

# The objectives of positives that a search compares.
_SEARCHED = ("ials", "spectral", "blend")
# Settings that only gradient descent uses, or whose use the search would ignore.
_OF_GRADIENTS = (
    "model.initial_scale", "model.margin", "model.negative_weight", "model.negatives", "train.batch_size",
    "train.early_stopping", "train.learning_rate",
)  # fmt: skip


def _uses_gradients(tree: Any) -> bool:
    """Whether a file asks for gradient descent, or starts from an earlier model."""
    objective = _get(_get(tree, "model"), "objective")
    solved = OF_LABELS if _value(tree, "train.optimizer") == "als" else ("regression",)
    least_squares = (None, *solved) if _scored(tree) else (None, *_SEARCHED)
    penalty = _scored(tree) and _value(tree, "model.regularization") is not None
    warm = _value(tree, "train.warm_start") not in (None, False)
    return (
        objective not in least_squares or penalty or warm or any(_value(tree, key) is not None for key in _OF_GRADIENTS)
    )


def _scored(tree: Any) -> bool:
    columns = _get(_get(tree, "data"), "columns")
    return columns is None or _get(columns, "score") is not None


def _value(tree: Any, key: str) -> Any:
    """Returns the value at a dotted key, or None."""
    for name in key.split("."):
        tree = _get(tree, name)
    return tree


def _fits_least_squares(tree: Any) -> bool:
    """Whether `ials` can be the objective of a file that names none: the file sets nothing that `ials` cannot do."""
    encode, model, train = (_get(tree, section) for section in ("encode", "model", "train"))
    wanted = (
        _get(encode, "shared") in (None, False),
        _get(encode, "oov_hashes") in (None, 1),
        _get(model, "normalize") in (None, False),
        _get(model, "temperature") in (None, 1),
        _get(train, "optimizer") in (None, "als"),
        _get(train, "devices") in (None, "one"),
    )
    return all(wanted)


def _get(section: Any, key: str) -> Any:
    """Returns `key` of a section, which may be a mapping, a model, or an invalid value."""
    return section.get(key) if isinstance(section, dict) else getattr(section, key, None)
