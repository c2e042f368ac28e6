"""Which keys of a pipeline file have an effect only together with other values. A key without effect is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from components.evaluator.names import is_ranking
from components.evaluator.slices import LEFT
from trainer.settings import OF_LABELS

Sections = Mapping[str, BaseModel]


@dataclasses.dataclass(frozen=True)
class Condition:
    """What a key needs to have an effect.

    Attributes:
      holds: whether it is met, given the sections of a pipeline file by name.
      otherwise: describes the other case, such as "with train.optimizer adagrad".
      remedy: how to meet it, such as "set train.optimizer to als".
    """

    holds: Callable[[Sections], bool]
    otherwise: Callable[[Sections], str]
    remedy: str


def _one_of(key: str, *values: str) -> Condition:
    """Returns a condition on a choice. `auto`, which is chosen later, meets it."""
    return Condition(
        lambda sections: value_of(key, sections) in (*values, "auto"),
        lambda sections: f"with {key} {value_of(key, sections)}",
        f"set {key} to {' or '.join(filter(None, [', '.join(values[:-1]), values[-1]]))}",
    )


def _present(key: str) -> Condition:
    return Condition(lambda sections: value_of(key, sections) is not None, lambda _: f"without {key}", f"set {key}")


def _absent(key: str) -> Condition:
    return Condition(lambda sections: value_of(key, sections) is None, lambda _: f"with {key}", f"omit {key}")


def _any(first: Condition, *others: Condition) -> Condition:
    """Returns a condition that is met if one of several is. The text is that of the first."""
    return dataclasses.replace(
        first, holds=lambda sections: any(condition.holds(sections) for condition in (first, *others))
    )


_NUMBERED_COLUMNS = Condition(
    lambda sections: isinstance(value_of("data.columns.left", sections), int),
    lambda _: "with data.columns that are names",
    "use column numbers",
)
_SAMPLED_METRICS = Condition(
    lambda sections: any(metric.startswith("sampled_") for metric in sections["evaluate"].all_metrics),  # type: ignore[attr-defined]
    lambda _: "without a sampled_... metric",
    "add one to evaluate.metrics, such as sampled_ndcg@10",
)
_SLICES_OF_RANKINGS = Condition(
    lambda sections: (
        any(not is_ranking(metric) for metric in sections["evaluate"].all_metrics)  # type: ignore[attr-defined]
        or set(value_of("evaluate.slices", sections)) <= set(LEFT)
    ),
    lambda _: "with ranking metrics only",
    f"choose from {', '.join(LEFT)}",
)
_LISTS_OF_PAIRS = Condition(
    lambda sections: not {"left", "right"}.isdisjoint(value_of("batch.lists", sections) or ("right",)),
    lambda _: "with batch.lists of neighbors only",
    "add left or right to batch.lists",
)
_DELIMITED = _one_of("data.format", "csv", "tsv")
_TEXT = _one_of("data.format", "csv", "tsv", "jsonl", "adjacency")
_ALS = _any(
    _one_of("train.optimizer", "als"),
    Condition(
        lambda sections: (
            "train.optimizer" in value_of("train.search.settings", sections)
            and value_of("train.search.budget", sections) > 0
        ),
        str,
        "",
    ),
)
_GRADIENT = _one_of("train.optimizer", "adagrad", "adam", "sgd")
_OF_LABELS = _one_of("model.objective", *OF_LABELS)
_IALS = _one_of("model.objective", "ials", "blend")
_COSINE = _one_of("model.objective", "cosine")
_NOT_COSINE = _one_of(
    "model.objective", "regression", "logistic", "softmax", "pairwise", "ials", "spectral", "blend", "lightgcn"
)
_NOT_GRAPH = _one_of(
    "model.objective", "regression", "logistic", "softmax", "pairwise", "cosine", "ials", "spectral", "blend"
)
_PENALIZED = _one_of("model.objective", "regression", "logistic", "softmax", "pairwise", "cosine", "ials", "blend")
_LOGITS = _one_of("model.objective", "softmax", "pairwise", "logistic", "lightgcn")
_SAMPLING = _one_of("model.objective", "cosine", "softmax", "pairwise", "logistic")
_SPECTRAL = _one_of("model.objective", "spectral", "blend")
_SEARCHED = Condition(
    lambda sections: (
        bool(value_of("train.search.settings", sections)) or value_of("train.search.budget", sections) == 0
    ),
    lambda _: "without train.search.settings",
    "leave settings of models and training to the search",
)
_BIASED = _one_of("model.objective", "regression", "logistic", "softmax", "pairwise")
_SCORED = _present("data.columns.score")
_DESCRIBED = _any(_present("data.left_features"), _present("data.right_features"))
_OURS = _absent("train.module_file")
_OWN = "the file decides how to train"
_FIELDS = "it describes the fields of delimited text"
_LABELS = "pairs with a score have labels, and no negatives are sampled"
_SOLVES = "least squares solves for each row and takes no gradient steps"
_NOTIFIED = _any(_present("notify.webhook"), _present("notify.slack"), _present("notify.command"))
_STARTS_AGAIN = "it is of the job server that Beam starts"

# The conditions of each key, and why the key has no effect otherwise. All conditions of a key must be met.
EFFECTS: tuple[tuple[str, Condition, str], ...] = (
    ("data.delimiter", _DELIMITED, _FIELDS),
    ("data.quoting", _DELIMITED, _FIELDS),
    ("data.comment", _DELIMITED, _FIELDS),
    ("data.decimal", _DELIMITED, _FIELDS),
    ("data.decimal", _any(_SCORED, _present("data.columns.weight")), "it describes scores and weights"),
    ("data.header", _DELIMITED, _FIELDS),
    ("data.header", _NUMBERED_COLUMNS, "files with column names have a header"),
    ("data.encoding", _TEXT, "it describes text files"),
    (
        "data.split.eval_fraction",
        _one_of("data.split.by", "pair", "left", "right", "time"),
        "data.split.eval_folds chooses the eval rows",
    ),
    ("validate.max_missing_features", _DESCRIBED, "it limits missing features"),
    ("validate.max_new_values", _DESCRIBED, "it compares values of features"),
    ("validate.max_score_skew", _SCORED, "it limits a difference of scores"),
    ("validate.max_score_divergence", _SCORED, "it limits a difference of scores"),
    ("validate.max_statistics_rows", _SCORED, "it limits a sample of scores"),
    ("model.bias", _NOT_COSINE, "a cosine has no biases"),
    ("model.normalize", _NOT_GRAPH, "the averages determine the lengths"),
    ("model.bias", _BIASED, "it sums over all pairs, seen or not, which no bias can fit"),
    (
        "model.regularization",
        _any(_GRADIENT, _IALS),
        "the strength is learned from the data, or is train.als.ridge",
    ),
    ("model.regularization", _PENALIZED, "it has no penalty"),
    (
        "model.initial_scale",
        _any(_GRADIENT, Condition(lambda sections: value_of("train.warm_start", sections) is True, str, "")),
        "least squares chooses its own initial vectors",
    ),
    ("model.normalize", _NOT_COSINE, "a cosine always divides vectors by their length"),
    ("model.temperature", _LOGITS, "its scores are not logits"),
    ("model.temperature", _GRADIENT, "least squares chooses the lengths of vectors"),
    ("model.margin", _COSINE, "only cosine has a margin"),
    ("model.negative_weight", _COSINE, "other objectives do not weight negatives"),
    ("model.unobserved_weight", _IALS, "only ials sums over the unobserved pairs"),
    ("model.popularity_exponent", _SPECTRAL, "only spectral divides by popularity"),
    ("model.negatives.count", _SAMPLING, "it samples no negatives"),
    ("model.negatives.count", _absent("data.columns.score"), _LABELS),
    ("model.negatives.sampling", _SAMPLING, "it samples no negatives"),
    ("model.negatives.sampling", _absent("data.columns.score"), _LABELS),
    ("train.batch_size", _GRADIENT, _SOLVES),
    ("train.learning_rate", _GRADIENT, _SOLVES),
    ("train.als.copies", _ALS, "it is an option of least squares"),
    ("train.als.copies", _OF_LABELS, "only solutions of scored pairs are averaged"),
    ("train.als.ridge", _ALS, "it is an option of least squares"),
    ("train.als.ridge", _OF_LABELS, "it regularizes vectors of scored pairs. Use model.regularization"),
    ("train.als.implicit", _ALS, "it is an option of least squares"),
    ("train.als.implicit", _OF_LABELS, "for positives, the pairs themselves are fitted"),
    ("train.als.frequency_exponent", _ALS, "it is an option of least squares"),
    ("train.als.frequency_exponent", _IALS, "the strength is learned from the data, or is train.als.ridge"),
    ("train.search.budget", _SEARCHED, "the file sets everything that a search could choose, or rules it out"),
    ("train.search.renew", _SEARCHED, "the file sets everything that a search could choose, or rules it out"),
    ("train.warm_start", _OURS, _OWN),
    ("encode.oov_hashes", _OURS, "tables of an own trainer have one row for each unknown id"),
    ("evaluate.candidates", _SAMPLED_METRICS, "no metric ranks them"),
    ("evaluate.slices", _SLICES_OF_RANKINGS, f"rankings are measured on {', '.join(LEFT)}"),
    ("batch.exclude_seen", _LISTS_OF_PAIRS, "neighbors are of the same side, and pairs have both"),
    ("notify.on", _NOTIFIED, "there is nobody to notify"),
    ("notify.webhook_secret", _present("notify.webhook"), "it signs the webhook"),
    ("beam.job_server_jar", _absent("beam.job_endpoint"), _STARTS_AGAIN),
    ("beam.flink_version", _absent("beam.job_endpoint"), _STARTS_AGAIN),
    ("beam.flink_version", _present("beam.flink_master"), "the cluster of make flink-up has its own version"),
)


def why_without_effect(key: str, sections: Sections) -> str | None:
    """Returns why a key has no effect, such as "has no effect with train.optimizer als: ...", or None if it has one.

    Args:
      key: the dotted key.
      sections: the sections of a pipeline file by name. Only those that the conditions of the key read are needed.
    """
    missing = _missing(key, sections)
    return None if missing is None else missing[0]


def refuse_without_effect(sections: Sections) -> None:
    """Checks that every key of a file has an effect. A key at its default value, or null for off, is always accepted.

    Raises:
      ValueError: some keys have no effect. The message has each key, its value, the reason and the remedy.
    """
    faults = [fault for _, fault in _faults(sections)]
    if faults:
        raise ValueError("\n".join(faults))


def without_effect(sections: Sections) -> list[str]:
    """Returns the dotted keys that `refuse_without_effect` refuses."""
    return [key for key, _ in _faults(sections)]


def _faults(sections: Sections) -> Iterator[tuple[str, str]]:
    for key in dict.fromkeys(key for key, _, _ in EFFECTS):
        value, missing = value_of(key, sections), _missing(key, sections)
        if missing is not None and value is not None and value != default_of(key, sections):
            shown = list(value) if isinstance(value, tuple) else value
            yield key, f"{key}: {missing[0]} (got {shown!r}). Omit the key, or {missing[1]}"


def _missing(key: str, sections: Sections) -> tuple[str, str] | None:
    """Returns why a key has no effect, and the remedy, or None if it has one."""
    for of, condition, why in EFFECTS:
        if of == key and not condition.holds(sections):
            return f"has no effect {condition.otherwise(sections)}: {why}", condition.remedy
    return None


def value_of(key: str, sections: Sections) -> Any:
    """Returns the value at a dotted key, or None if a section on the way is null."""
    owner, name = owner_of(key, sections)
    return getattr(owner, name, None)


def default_of(key: str, sections: Sections) -> Any:
    """Returns the default value of a dotted key, or None if a section on the way is null."""
    owner, name = owner_of(key, sections)
    return type(owner).model_fields[name].get_default() if isinstance(owner, BaseModel) else None


def owner_of(key: str, sections: Sections) -> tuple[Any, str]:
    """Returns the section of a dotted key, and the name of the key in it."""
    first, *others, name = key.split(".")
    owner: Any = sections[first]
    for other in others:
        owner = getattr(owner, other, None)
    return owner, name
