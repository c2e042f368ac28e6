"""The rules of the gate: pure functions from distributions to checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.data_gate import drift
from components.data_gate.settings import GateSettings
from components.pair_statistics.distribution import Distribution, merge
from components.pair_statistics.entity_features import FeatureStatistics
from trainer import features
from trainer.data.examples import Examples, Rows

_SHOWN_VALUES = 3


@dataclasses.dataclass(frozen=True)
class RowFilter:
    """Selects the rows that illustrate a check.

    Attributes:
      split: the split that holds the rows.
      side: the side to filter by, `left` or `right`. Without it, all rows of the split match.
      ids: ids to look for on this side, binary `[n]`.
      unseen: selects the rows whose id is not among `ids`.
    """

    split: str
    side: str | None = None
    ids: pa.Array | None = None
    unseen: bool = False


@dataclasses.dataclass(frozen=True)
class Check:
    """The result of one rule.

    Attributes:
      rule: key of the pipeline file, or name of the rule.
      value: measured figure.
      bound: bound of the figure.
      ok: whether the rule holds.
      words: error message for a broken rule.
      rows: selects example rows for the message.
      about: column, if the same rule applies to several columns.
    """

    rule: str
    value: float
    bound: float
    ok: bool
    words: str
    rows: RowFilter | None = None
    about: str = ""

    def record(self) -> dict[str, Any]:
        """Returns the JSON object of the check."""
        about = {"about": self.about} if self.about else {}
        return {"rule": self.rule, **about, "value": self.value, "bound": self.bound, "ok": self.ok}


def check_splits(splits: Mapping[str, Distribution], settings: GateSettings) -> Iterator[Check]:
    """Yields the checks of the splits alone.

    Args:
      splits: distribution of the splits `train` and `eval`.
      settings: bounds.
    """
    train = splits["train"]
    yield _at_least(
        "validate.min_rows", train.rows, settings.min_rows,
        f"split train has {train.rows:,} rows, and at least {settings.min_rows:,} are needed",
    )  # fmt: skip
    held_out = splits["eval"].rows
    yield _at_least(
        "validate.min_eval_rows", held_out, settings.min_eval_rows,
        f"split eval has {held_out:,} rows, and a verdict about a model needs at least {settings.min_eval_rows:,}. "
        f"Raise data.split.eval_fraction, or bring more rows: there are {train.rows + held_out:,}",
    )  # fmt: skip
    if not train.rows:
        return
    for side in ("left", "right"):
        yield from _about(side, _entity_checks(side, train, settings))
    if not train.has_scores:
        return
    lowest, highest = float(train.scores[0]), float(train.scores[-1])
    words = f"score: all {train.rows:,} scores of split train are {lowest:g}, so there is nothing to learn"
    yield Check("score varies", highest - lowest, 0.0, highest > lowest, words, RowFilter("train"))


def _entity_checks(side: str, train: Distribution, settings: GateSettings) -> Iterator[Check]:
    counts = train.entities(side)
    found, least = counts.num_rows, settings.min_entities
    words = f"{side}_id: split train has {found:,} distinct entities, and at least {least:,} are needed"
    yield _at_least("validate.min_entities", found, least, words)
    if settings.max_entity_share is not None:
        entity, share = counts["id"][0].as_py(), counts["count"][0].as_py() / train.rows
        yield _at_most(
            "validate.max_entity_share",
            share,
            settings.max_entity_share,
            f"{side}_id: {entity.decode()!r} alone holds {share:.1%} of the pairs of split train",
            RowFilter("train", side, counts["id"].combine_chunks().slice(0, 1)),
        )


def check_anomalies(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> Iterator[Check]:
    """Yields one broken check for each schema anomaly of severity ERROR. Warnings do not stop a run.

    Args:
      anomalies: anomalies of each split.
    """
    for split in sorted(anomalies):
        for feature, info in sorted(anomalies[split].anomaly_info.items()):
            if info.severity == anomalies_pb2.AnomalyInfo.ERROR:
                words = f"{feature}: split {split}: {info.short_description}: {info.description}"
                yield Check("schema", 1.0, 0.0, False, words, RowFilter(split))


def check_skew(splits: Mapping[str, Distribution], settings: GateSettings) -> Iterator[Check]:
    """Yields a check of the distance between the score distributions of the splits. Pairs without scores have none.

    Args:
      splits: distribution of the splits `train` and `eval`.
      settings: bounds.
    """
    train, held_out = splits["train"], splits["eval"]
    if settings.max_score_skew is None or not (train.has_scores and held_out.has_scores):
        return
    found = drift.score_divergence(held_out.scores, train.scores)
    words = f"score: the distributions of splits eval and train differ: Jensen-Shannon divergence {found.value:.3f}"
    yield _beyond_chance("validate.max_score_skew", found, settings.max_score_skew, words, RowFilter("eval"))


def check_drift(
    splits: Mapping[str, Distribution], reference: Mapping[str, Distribution], settings: GateSettings
) -> Iterator[Check]:
    """Yields checks of the distance from the last accepted data, over all splits together.

    Args:
      splits: distribution of each split.
      reference: distribution of each split of the last accepted data.
      settings: bounds.
    """
    current, accepted = merge(list(splits.values())), merge(list(reference.values()))
    for side in ("left", "right"):
        yield from _about(side, _entity_drift(side, current.entities(side), accepted.entities(side), settings))
    if settings.max_score_divergence is not None and current.has_scores and accepted.has_scores:
        found = drift.score_divergence(current.scores, accepted.scores)
        words = (
            f"score: the distribution differs from the last accepted data: Jensen-Shannon divergence {found.value:.3f}"
        )
        bound = settings.max_score_divergence
        yield _beyond_chance("validate.max_score_divergence", found, bound, words, RowFilter("train"))


def check_traffic(requests: Distribution, train: Distribution, settings: GateSettings) -> Iterator[Check]:
    """Yields checks of the distance of requests to a served model from its training data.

    Args:
      requests: requested ids, and the scores of requested pairs.
      train: ids of the training pairs, and the scores that the model gives them.
      settings: bounds.
    """
    for side in ("left", "right"):
        asked, trained = requests.entities(side), train.entities(side)
        if asked.num_rows:
            checks = _entity_drift(side, asked, trained, settings, "requested ids are", "the training data")
            yield from _about(side, checks)
    if settings.max_score_divergence is not None and requests.has_scores and train.has_scores:
        found = drift.score_divergence(requests.scores, train.scores)
        words = f"score: the distribution differs from the training pairs: Jensen-Shannon divergence {found.value:.3f}"
        yield _beyond_chance("validate.max_score_divergence", found, settings.max_score_divergence, words)


def _entity_drift(
    side: str,
    current: pa.Table,
    accepted: pa.Table,
    settings: GateSettings,
    what: str = "pairs have entities that are",
    than: str = "the last accepted data",
) -> Iterator[Check]:
    column = f"{side}_id"
    if settings.max_unseen_share is not None:
        found = drift.unseen_share(current, accepted)
        words = f"{column}: {found.value:.1%} of the {what} not in {than}"
        rows = RowFilter("train", side, accepted["id"].combine_chunks(), unseen=True)
        yield _beyond_chance("validate.max_unseen_share", found, settings.max_unseen_share, words, rows)
    if settings.max_entity_distance is not None:
        found = drift.entity_distance(current, accepted, settings.max_entity_distance)
        words = f"{column}: the share of one entity differs by {found.value:.1%} from {than}"
        yield _beyond_chance("validate.max_entity_distance", found, settings.max_entity_distance, words)


def check_features(
    current: Mapping[str, FeatureStatistics], accepted: Mapping[str, FeatureStatistics], settings: GateSettings
) -> Iterator[Check]:
    """Yields checks of each feature of entities: missing values, and values that are not in the last accepted data.

    Args:
      current: statistics by side and name, such as `right_genres`.
      accepted: those of the last accepted data, or nothing.
      settings: bounds.
    """
    for name, found in current.items():
        checks = list(_feature_checks(name, found, accepted.get(name), settings))
        yield from (dataclasses.replace(check, about=name) for check in checks)


def _feature_checks(
    name: str, found: FeatureStatistics, accepted: FeatureStatistics | None, settings: GateSettings
) -> Iterator[Check]:
    bound = settings.max_missing_features
    if bound is not None:
        words = f"{name}: {found.missing_share:.1%} of {found.entities:,} entities have no value"
        yield _at_most("validate.max_missing_features", found.missing_share, bound, words)
    bound = settings.max_new_values
    if bound is not None and found.values and accepted and accepted.values:
        share = drift.unseen_share(found.counts(), accepted.counts())
        new = [value for value in found.values if value not in accepted.values][:_SHOWN_VALUES]
        words = f"{name}: {share.value:.1%} of the values are not in the last accepted data, such as {new}"
        yield _beyond_chance("validate.max_new_values", share, bound, words)


def _about(side: str, checks: Iterator[Check]) -> Iterator[Check]:
    return (dataclasses.replace(check, about=f"{side}_id") for check in checks)


def _at_least(rule: str, value: int, bound: int, words: str) -> Check:
    return Check(rule, float(value), float(bound), value >= bound, words)


def _at_most(rule: str, value: float, bound: float, words: str, rows: RowFilter | None = None) -> Check:
    return Check(rule, value, bound, value <= bound, f"{words} (at most {bound:g})", rows)


def _beyond_chance(rule: str, found: drift.Measured, bound: float, words: str, rows: RowFilter | None = None) -> Check:
    """Returns the check of a distance. Where chance alone exceeds the bound, chance is the bound."""
    if found.chance <= bound:
        return _at_most(rule, found.value, bound, words, rows)
    limit = f"(at most {found.chance:.3g}, because so few rows differ by that much by chance. The bound is {bound:g})"
    return Check(rule, found.value, found.chance, found.value <= found.chance, f"{words} {limit}", rows)


def matching_rows(examples: Examples, block: Rows, rows: RowFilter) -> np.ndarray:
    """Returns the numbers of those rows of `block` that `rows` selects."""
    if rows.side is None or rows.ids is None:
        return np.arange(len(block))
    ids = examples.entities(rows.side).ids
    among = pc.is_in(ids, value_set=rows.ids.cast(ids.type)).to_numpy(zero_copy_only=False)
    codes = block.left if rows.side == features.LEFT else block.right
    return np.flatnonzero(among[codes] != rows.unseen)
