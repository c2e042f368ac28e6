"""Defaults that depend on another section: schema, objective, optimizer and rules for each kind of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import schemas
from components.evaluator.settings import default_rules

# The curated schemas, for pairs with scores and for positives.
SCHEMA, SCHEMA_OF_POSITIVES = (Path(schemas.__file__).with_name(name) for name in ("pairs.pbtxt", "positives.pbtxt"))

_POSITIVES = {
    "score": {"center": "none", "scale": "none"},
    "evaluate": {
        "metrics": ["recall@10", "ndcg@10", "hit_rate@10", "mrr@10", "map@10", "coverage@10"],
        "bless": [rule.model_dump() for rule in default_rules("ndcg@10")],
    },
}
_LOGISTIC = {"evaluate": {"bless": [rule.model_dump() for rule in default_rules("auc")]}}


def by_labels(tree: Any) -> Any:
    """Adds defaults that depend on whether pairs have a score, and whether its value or its sign is learned.

    Args:
      tree: a pipeline file before validation.

    Returns:
      The tree with the defaults.
    """
    columns = _get(_get(tree, "data"), "columns")
    defaults: dict[str, Any] = {}
    if columns is not None and _get(columns, "score") is None:
        objective = "ials" if _fits_least_squares(tree) else "softmax"
        defaults = _POSITIVES | {"model": {"objective": objective}}
        tree = {"schema": str(SCHEMA_OF_POSITIVES)} | tree
    elif _get(_get(tree, "model"), "objective") == "logistic":
        defaults = _LOGISTIC
    objective = _get(_get(tree, "model"), "objective") or defaults.get("model", {}).get("objective")
    if objective == "ials":
        defaults = defaults | {"train": {"optimizer": "als"}}
    held = {key: tree.get(key, {}) for key in defaults}
    return tree | {key: defaults[key] | value for key, value in held.items() if isinstance(value, dict)}


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
