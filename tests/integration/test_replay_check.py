"""ReplayCheck on exported models, versions in a directory, and logs on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.pusher.component import push_destination
from components.pusher.local import LocalVersions
from components.replay.executor import REPORT_FILE, Executor
from components.replay.settings import ReplaySettings
from errors import ModelRefused
from storage.settings import StorageSettings
from tests.request_logs import logged, write_log
from tests.unit.trainer import planted_model
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

pytestmark = pytest.mark.tensorflow

Check = Callable[..., dict[str, Any]]
PAIRS = [(left, right) for left in (*LEFT[:3], b"\x1b[2J never seen") for right in RIGHT[:2]]
SCORES = logged("score", {"left_id": [left for left, _ in PAIRS], "right_id": [right for _, right in PAIRS]})
TOP = logged("similar_right", {"left_id": LEFT[:2], "k": np.int32(3)})


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A model of the same ids with other numbers."""
    return planted_model.publish(tmp_path_factory.mktemp("other"), seed=6)


@pytest.fixture
def check(tmp_path: Path, planted: Planted) -> Check:
    """Runs the executor on a candidate: the content of replay.json."""

    def run(candidate: Planted, blessed: int = 1, **settings: Any) -> dict[str, Any]:
        model, tested, output = (
            standard_artifacts.Model(),
            standard_artifacts.InfraBlessing(),
            standard_artifacts.InfraBlessing(),
        )
        model.uri, output.uri = str(tmp_path / "trained"), str(tmp_path / "replay")
        (tmp_path / "trained").mkdir(exist_ok=True)
        (tmp_path / "trained" / "Format-Serving").unlink(missing_ok=True)
        (tmp_path / "trained" / "Format-Serving").symlink_to(candidate.model)
        tested.set_int_custom_property("blessed", blessed)
        properties = {
            "settings": ReplaySettings(log=str(tmp_path / "log"), **settings).model_dump_json(),
            "push_destination": proto_utils.proto_to_json(push_destination(str(tmp_path / "serving"))),
            "pipeline": "films",
            "storage": StorageSettings().model_dump_json(),
        }
        Executor().Do({"model": [model], "infra_blessing": [tested]}, {"blessing": [output]}, properties)
        assert output.get_int_custom_property("blessed") == blessed
        file = Path(output.uri, REPORT_FILE)
        return json.loads(file.read_text()) if file.is_file() else {}

    return run


@pytest.fixture
def versions(tmp_path: Path) -> LocalVersions:
    return LocalVersions(str(tmp_path / "serving"), "films")


def test_changes_are_those_of_the_planted_numbers(
    tmp_path: Path, check: Check, versions: LocalVersions, planted: Planted, other: Planted
) -> None:
    versions.publish(str(planted.model))
    write_log(tmp_path / "log.1", [SCORES, TOP])
    found = check(other)
    change = [
        other.scores()[other.left.row(left), other.right.row(right)]
        - planted.scores()[planted.left.row(left), planted.right.row(right)]
        for left, right in PAIRS
    ]
    assert found["scores"]["mean_change"] == pytest.approx(np.abs(change).mean(), rel=1e-4)
    assert found["scores"]["max_change"] == pytest.approx(np.abs(change).max(), rel=1e-4)
    assert (found["served"], found["compared"], found["rankings"]["lists"]) == (1, 2, 2)
    # Eight pairs have 16 ids, and two of the left ones are unknown. The ranking has two more.
    assert found["ids"] == {"requested": 18, "unknown": 2 / 18, "unknown_served": 2 / 18, "lost": 0.0}
    best = [
        {RIGHT[i] for i in np.argsort(-model.scores()[row, :-1])[:3]} for model in (planted, other) for row in (0, 1)
    ]
    assert found["rankings"]["overlap"] == pytest.approx((len(best[0] & best[2]) + len(best[1] & best[3])) / 6)
    assert found["rules"] == [] and found["latency"]["ratio"] > 0


def test_broken_rule_refuses_the_candidate(
    tmp_path: Path, check: Check, versions: LocalVersions, planted: Planted, other: Planted
) -> None:
    versions.publish(str(planted.model))
    write_log(tmp_path / "log", [SCORES, TOP])
    with pytest.raises(
        ModelRefused, match=r"(?s)Compared with version 1:.*max_score_change.*was not published"
    ) as refused:
        check(other, max_score_change=0.01, max_failed=0)
    assert refused.value.exit_code == 4 and refused.value.replay is not None
    assert [rule["ok"] for rule in refused.value.replay["rules"]] == [True, False]
    assert check(other, max_score_change=100)["rules"][0]["ok"]


def test_damaged_newest_version_is_not_the_one_compared_with(
    tmp_path: Path, check: Check, versions: LocalVersions, planted: Planted, other: Planted
) -> None:
    for model in (planted, other):
        versions.publish(str(model.model))
    (tmp_path / "serving" / "2" / "saved_model.pb").write_bytes(b"")
    write_log(tmp_path / "log", [SCORES])
    assert check(other)["served"] == 1


@pytest.mark.parametrize(
    ("records", "served", "words"),
    [
        ([SCORES], "none", "there is no earlier version"),
        ([SCORES], "same", "the candidate is the served version 1"),
        (None, "planted", "no file begins with"),
        ([], "planted", "no Predict request in 1 files"),
        ([logged("score", {"left_id": [b"a"]}, model="music")], "planted", "but 1 of music. Set publish.replay.model"),
    ],
    ids=["first", "same", "absent", "empty", "other"],
)
def test_nothing_to_compare_is_reported_and_passes(
    tmp_path: Path, check: Check, versions: LocalVersions, planted: Planted, other: Planted,
    records: list[bytes] | None, served: str, words: str,
) -> None:  # fmt: skip
    if served != "none":
        versions.publish(str((other if served == "same" else planted).model))
    if records is not None:
        write_log(tmp_path / "log", records)
    assert words in check(other, max_score_change=0.01)["nothing"]
    if served != "planted":
        assert check(other, min_requests=1)["rules"] == [], "there is nothing to compare with"
        return
    with pytest.raises(ModelRefused, match=r"(?s)min_requests.*Nothing was replayed"):
        check(other, min_requests=1)


def test_unblessed_model_is_not_replayed(check: Check, other: Planted) -> None:
    assert check(other, blessed=0) == {}
