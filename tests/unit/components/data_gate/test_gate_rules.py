"""Each rule of the gate on data that break it, and on data that just do not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.data_gate import rules
from components.data_gate.settings import GateSettings
from components.pair_statistics import distribution
from components.pair_statistics.distribution import COUNTS, Distribution
from components.pair_statistics.entity_features import FeatureStatistics
from tests import written_examples


def pairs(left: list[str], right: list[str], scores: list[float]) -> Distribution:
    return Distribution(_counts(left), _counts(right), np.sort(np.float32(scores)))


def _counts(ids: list[str]) -> pa.Table:
    found = Counter(ids).most_common()
    return pa.table([[name.encode() for name, _ in found], [count for _, count in found]], schema=COUNTS)


def healthy(rows: int = 40, offset: int = 0, seed: int = 1) -> Distribution:
    draw = np.random.default_rng(seed)
    left = [f"l{offset + i % 10}" for i in range(rows)]
    right = [f"r{offset + i % 8}" for i in range(rows)]
    return pairs(left, right, draw.normal(size=rows).tolist())


def broken(train: Distribution, held_out: Distribution | None = None, **bounds: float) -> list[rules.Check]:
    splits = {"train": train, "eval": held_out or healthy(10)}
    return [check for check in rules.check_splits(splits, GateSettings(**bounds)) if not check.ok]


def test_healthy_data_break_nothing() -> None:
    assert broken(healthy()) == []


def test_too_few_rows_and_an_empty_split() -> None:
    (few,) = broken(healthy(9), min_entities=1)
    assert (few.rule, few.value, few.bound) == ("validate.min_rows", 9, 10)
    assert "split train has 9 rows, and at least 10 are needed" in few.words
    assert broken(healthy(10), min_entities=1) == []
    (nothing,) = broken(healthy(), distribution.empty())
    assert (nothing.rule, nothing.value, nothing.bound) == ("validate.min_eval_rows", 0, 10)
    assert "split eval has 0 rows" in nothing.words and "Raise data.split.eval_fraction" in nothing.words
    assert [check.value for check in broken(healthy(), healthy(9))] == [9]
    assert broken(healthy(), healthy(1), min_eval_rows=1) == []


def test_too_few_entities_names_the_side() -> None:
    one_right = pairs([f"l{i}" for i in range(12)], ["r"] * 12, list(range(12)))
    found = broken(one_right, max_entity_share=None)
    assert [check.rule for check in found] == ["validate.min_entities"]
    assert found[0].words.startswith("right_id: split train has 1 distinct entities")


def test_constant_scores() -> None:
    flat = pairs([f"l{i}" for i in range(12)], [f"r{i}" for i in range(12)], [3.5] * 12)
    (found,) = broken(flat)
    assert "all 12 scores of split train are 3.5" in found.words
    assert found.rows is not None


def test_one_entity_with_nearly_all_pairs_is_named_with_its_rows(tmp_path: Path) -> None:
    skewed = pairs(["big"] * 19 + ["small"], [f"r{i}" for i in range(20)], list(range(20)))
    (found,) = broken(skewed)
    assert found.value == pytest.approx(0.95)
    assert "left_id: 'big' alone holds 95.0% of the pairs" in found.words
    assert found.rows is not None
    examples = written_examples.write(tmp_path, [(b"small", b"x", 1.0), (b"big", b"y", 2.0)])
    assert rules.matching_rows(examples, examples.rows("train"), found.rows).tolist() == [1]
    assert broken(skewed, max_entity_share=0.95) == []
    assert broken(skewed, max_entity_share=None) == []


def test_only_anomalies_of_severity_error_count() -> None:
    anomalies = anomalies_pb2.Anomalies()
    for name, severity in (("score", anomalies_pb2.AnomalyInfo.ERROR), ("weight", anomalies_pb2.AnomalyInfo.WARNING)):
        info = anomalies.anomaly_info[name]
        info.severity, info.short_description, info.description = severity, "Out of range", "10 above 5"
    (found,) = rules.check_anomalies({"eval": anomalies})
    assert found.words == "score: split eval: Out of range: 10 above 5"


def test_skew_is_judged_beyond_chance() -> None:
    train, shifted = healthy(3000), healthy(1500, seed=2)
    settings = GateSettings()
    (same,) = rules.check_skew({"train": train, "eval": shifted}, settings)
    assert same.ok
    assert same.value < 0.05
    moved = Distribution(shifted.left, shifted.right, shifted.scores + 3)
    (apart,) = rules.check_skew({"train": train, "eval": moved}, settings)
    assert not apart.ok
    few = healthy(5, seed=3)
    (by_chance,) = rules.check_skew({"train": train, "eval": few}, settings)
    assert by_chance.ok and by_chance.bound > settings.max_score_skew
    (far,) = rules.check_skew({"train": train, "eval": Distribution(few.left, few.right, few.scores + 9)}, settings)
    assert not far.ok and "because so few rows differ by that much by chance. The bound is 0.2" in far.words


def test_drift_from_the_last_accepted_data(tmp_path: Path) -> None:
    accepted = {"train": healthy(200), "eval": healthy(20)}
    settings = GateSettings()
    assert all(
        check.ok for check in rules.check_drift({"train": healthy(180), "eval": healthy(10)}, accepted, settings)
    )
    new = {"train": healthy(200, offset=100), "eval": healthy(20, offset=100)}
    found = {check.rule: check for check in rules.check_drift(new, accepted, settings) if not check.ok}
    assert set(found) == {"validate.max_unseen_share"}
    unseen = found["validate.max_unseen_share"]
    assert unseen.value == 1
    assert unseen.words.startswith("right_id: 100.0% of the pairs have entities")
    assert unseen.rows is not None
    examples = written_examples.write(tmp_path, [(b"l1", b"r1", 0.0), (b"l1", b"r101", 0.0)])
    assert rules.matching_rows(examples, examples.rows("train"), unseen.rows).tolist() == [1]


def test_bounds_of_none_switch_drift_off() -> None:
    settings = GateSettings(max_unseen_share=None, max_entity_distance=None, max_score_divergence=None)
    assert list(rules.check_drift({"train": healthy()}, {"train": healthy(offset=50)}, settings)) == []


def positives(found: Distribution) -> Distribution:
    return Distribution(found.left, found.right, found.scores[:0])


def test_rules_on_scores_are_left_out_where_there_are_none() -> None:
    splits = {"train": positives(healthy(3000)), "eval": positives(healthy(1500, seed=2))}
    assert splits["train"].rows == 3000
    found = [*rules.check_splits(splits, GateSettings()), *rules.check_skew(splits, GateSettings())]
    assert [check.rule for check in found if "score" in check.rule] == []
    assert [check.rule for check in found].count("validate.max_entity_share") == 2
    scored = {"train": healthy(3000)}
    for current, accepted in ((splits, splits), (splits, scored), (scored, splits)):
        drifts = list(rules.check_drift(current, accepted, GateSettings()))
        assert {check.rule for check in drifts} == {"validate.max_unseen_share", "validate.max_entity_distance"}


def described(missing: int, **values: int) -> FeatureStatistics:
    return FeatureStatistics(100, missing, values or None)


def test_a_feature_that_hardly_any_entity_has_is_refused() -> None:
    found = {"right_genres": described(96), "right_year": described(95)}
    checks = list(rules.check_features(found, {}, GateSettings()))
    assert [(check.rule, check.about, check.ok) for check in checks] == [
        ("validate.max_missing_features", "right_genres", False),
        ("validate.max_missing_features", "right_year", True),
    ]
    assert checks[0].words.startswith("right_genres: 96.0% of 100 entities have no value")


def test_new_categories_are_refused_against_the_last_accepted_ones() -> None:
    last = {"right_genres": described(0, Comedy=600, Drama=600), "right_title": described(0)}
    renamed = {"right_genres": described(0, comedy=400, Drama=200), "right_title": described(0)}
    (broken,) = (check for check in rules.check_features(renamed, last, GateSettings()) if not check.ok)
    assert (broken.rule, broken.about) == ("validate.max_new_values", "right_genres")
    assert broken.value == pytest.approx(2 / 3)
    assert "such as ['comedy']" in broken.words
    grown = {"right_genres": described(0, Comedy=400, Drama=200, Western=100)}
    assert all(check.ok for check in rules.check_features(grown, last, GateSettings()))
    assert all(check.ok for check in rules.check_features(renamed, {}, GateSettings()))
    off = GateSettings(max_new_values=None, max_missing_features=None)
    assert list(rules.check_features(renamed, last, off)) == []


def test_settings_survive_json() -> None:
    settings = GateSettings(min_rows=3, max_score_skew=None)
    assert GateSettings.model_validate_json(settings.model_dump_json()) == settings
