"""The content of a model card, and the escaping of user text in Markdown."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.evaluator.evaluation import Evaluation
from components.evaluator.figures import Comparison, Figure
from components.evaluator.rules import RuleResult
from components.model_card.card import Facts, render
from components.model_card.settings import CardSettings
from pipeline.config import PipelineConfig
from trainer.index.calibration import Probes
from trainer.index.facts import IndexFacts

FIGURES = [
    Figure("rmse", "", 100, 0.5, 0.4, 0.6, {"mean": Comparison(1.0), "last_blessed": Comparison(0.7)}),
    Figure("auc", "", 100, None, others={"mean": Comparison(0.5)}),
    Figure("rmse", "left_head", 60, 0.3),
    Figure("rmse", "left_tail", 40, 0.9),
    Figure("rmse", "unknown", 2, 5.0),
]
HOLDS = RuleResult("rmse below 0.6", 0.5, 0.6, True)
BROKEN = RuleResult("rmse on left_tail below 0.6", 0.9, 0.6, False)


def settings(**sections: Any) -> CardSettings:
    tree: dict[str, Any] = {
        "data": {"path": "/data/a|b`c.csv", "columns": {"left": "u`s|er", "right": "film", "score": "stars"}}
    }
    config = PipelineConfig.model_validate({"name": "films", **tree, **sections})
    names = ("data", "encode", "score", "model", "train")
    return CardSettings(pipeline="films", **{name: getattr(config, name).model_dump(mode="json") for name in names})


def card(rules: list[RuleResult] | None = None, told: CardSettings | None = None, **facts: Any) -> str:
    known: dict[str, Any] = {
        "settings": told or settings(), "rows": {"train": 900_000, "eval": 100_000}, "quarantined": 1234,
        "entities": {"left": 6040, "right": 3706}, "span": None, "files": [("/data/a|b`c.csv", "sha256:ab")],
        "history": {"loss": [3.0, 2.0, 1.0]}, "choice": None, "index": None, "warm_start": None,
        "evaluation": Evaluation(FIGURES, [HOLDS] if rules is None else rules), "versions": {"kindred": "0.1.0"},
    }  # fmt: skip
    return render(Facts(**(known | facts)))


def table(text: str, heading: str) -> list[list[str]]:
    """Returns the rows of the first table below `heading`, parsed like GitHub's Markdown."""
    below = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_metrics_table_compares_models() -> None:
    head, rule, *rows = table(card(), "Metrics")
    assert head == ["metric", "this model", "interval", "mean", "last blessed"]
    assert rule == ["---"] * 5
    assert rows == [["rmse", "0.5000", "0.4000 to 0.6000", "1.0000", "0.7000"], ["auc", "–", "", "0.5000", "–"]]


def test_weakest_slices_skip_small_ones() -> None:
    _, _, *rows = table(card(), "Weakest slices")
    assert rows == [["left tail", "40", "0.9000"], ["left head", "60", "0.3000"]]


def test_approximate_rankings_have_their_recall() -> None:
    index = IndexFacts(1.5, {"left": 1, "right": 4000}, {
        "similar_right_approximate": Probes(48, 0.9851, 30), "similar_left_approximate": Probes(1, 1.0, 1),
    })  # fmt: skip
    assert table(card(index=index), "Approximate rankings")[2:] == [
        ["`similar_right_approximate`", "48", "4,000", "0.9851"],
        ["`similar_left_approximate`", "1 (exact)", "1", "1.0000"],
    ]
    assert "Approximate rankings" not in card()


def test_unblessed_model_warns_at_top() -> None:
    text = card([HOLDS, BROKEN])
    assert "**Not blessed**: 1 of 2 rules" in text.split("## Intended use")[0]
    assert "- **failed**: rmse on left_tail below 0.6 (0.9000, bound 0.6000)" in text
    assert "Not blessed" not in card() and "- held: rmse below 0.6 (0.5000, bound 0.6000)" in card()


def test_data_and_training_tables() -> None:
    text = card(span=7)
    data, training = dict(table(text, "Data")), dict(table(text, "Training"))
    assert data["rows"] == "900,000 for training, 100,000 held out, split by pair, 1,234 quarantined as bad"
    assert data["entities in training"] == "6,040 left, 3,706 right"
    assert data["source"].endswith(", span 7")
    assert training["epochs"].startswith("3 of at most 20") and training["seed"] == "1"
    assert "start" not in training


def test_user_names_keep_tables_intact() -> None:
    text = card()
    assert all(len(row) == 2 for row in table(text, "Data"))
    assert "`` u`s\\|er ``" in text


@pytest.mark.parametrize("found", [{"cold": "no model of other examples was blessed yet"}, {"left": {}, "right": {}}])
def test_warm_start_is_described(found: dict[str, Any]) -> None:
    told = dict(table(card(warm_start=found), "Training"))["start"]
    assert told == f"cold: {found['cold']}" if "cold" in found else told.startswith("warm")


def test_positives_have_no_unit() -> None:
    positives = settings(data={"path": "/p.csv", "columns": {"left": "u", "right": "f"}})
    text = card(told=positives)
    assert "positives without a score" in text and "`value` is the same" not in text
    assert "negatives are drawn at random (uniform)" in dict(table(text, "Data"))["sampling"]


def test_tuned_settings_replace_configured_ones() -> None:
    tuned = settings().with_values({"model.dimension": 17, "train.learning_rate": 0.125})
    training = dict(table(card(told=tuned), "Training"))
    assert "17 dimensions" in training["objective"] and "0.125" in training["optimizer"]
    assert CardSettings.model_validate_json(tuned.model_dump_json()) == tuned


def test_card_without_figures() -> None:
    text = card(evaluation=Evaluation([], [BROKEN]))
    assert "No slice was measured" in text and "## License" in text
