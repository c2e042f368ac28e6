"""The baseline model of the candidate."""

from __future__ import annotations

import itertools

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.components.evaluator import constants
from tfx.types import standard_artifacts

from components.latest_blessed.strategy import LatestBlessedOtherModel

pytestmark = pytest.mark.tensorflow


def _model(number: int) -> standard_artifacts.Model:
    model = standard_artifacts.Model()
    model.id = number
    return model


def _blessing(number: int, model: int, blessed: bool) -> standard_artifacts.ModelBlessing:
    blessing = standard_artifacts.ModelBlessing()
    blessing.id = number
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))
    return blessing


def _empty_store() -> mlmd.MetadataStore:
    return mlmd.MetadataStore(metadata_store_pb2.ConnectionConfig(fake_database={}))


def _resolve(candidate: int, models: list[int], blessings: list[tuple[int, int, bool]]) -> tuple[list[int], list[int]]:
    """Returns the ids of the resolved model and blessing, which must not depend on the order of the store."""
    answers = set()
    for order in itertools.islice(itertools.permutations(blessings), 24):
        resolved = LatestBlessedOtherModel().resolve_artifacts(
            _empty_store(),
            {
                "candidate": [_model(candidate)],
                "model": [_model(number) for number in (models if len(answers) % 2 else models[::-1])],
                "model_blessing": [_blessing(*blessing) for blessing in order],
            },
        )
        assert resolved is not None
        assert [model.id for model in resolved["candidate"]] == [candidate]
        answers.add(tuple(tuple(artifact.id for artifact in resolved[key]) for key in ("model", "model_blessing")))
    (answer,) = answers
    return list(answer[0]), list(answer[1])


def test_first_model_has_no_baseline() -> None:
    assert _resolve(1, [1], []) == ([], [])


def test_candidate_is_not_its_baseline() -> None:
    assert _resolve(1, [1], [(11, 1, True)]) == ([], [])
    assert _resolve(2, [1, 2], [(11, 1, True), (12, 2, True)]) == ([1], [11])


def test_only_blessed_models_count() -> None:
    assert _resolve(4, [1, 2, 3, 4], [(11, 1, True), (12, 2, True), (13, 3, False)]) == ([2], [12])
    assert _resolve(4, [1, 4], [(11, 1, False)]) == ([], [])


def test_latest_blessing_wins_over_latest_model() -> None:
    assert _resolve(9, [1, 2, 9], [(11, 2, True), (12, 1, True)]) == ([1], [12])


def test_latest_of_several_blessings_is_resolved() -> None:
    assert _resolve(9, [1, 2, 9], [(11, 1, True), (12, 2, True), (13, 1, True)]) == ([1], [13])


def test_deleted_model_is_ignored() -> None:
    assert _resolve(9, [1, 9], [(11, 1, True), (12, 7, True)]) == ([1], [11])
