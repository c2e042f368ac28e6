"""The choice of settings as a line and as values."""

from __future__ import annotations

from trainer.search.choice import Choice
from trainer.search.records import Trial


def test_line_names_the_settings_that_have_values() -> None:
    settings = {"train.optimizer": "als", "model.dimension": 16, "train.als.ridge": None, "train.als.implicit": 15.0}
    choice = Choice("rmse", {"rows": 9}, (Trial(settings, 0.5, 3, 1.0, 5),), chosen=0, held_out=9)
    expected = "optimizer als, dimension 16, implicit 15 (rmse 0.5000 on held-out rows)"
    assert choice.describe() == f"1 settings tried: {expected}"
    assert choice.values["train.als.ridge"] is None and choice.values["train.epochs"] == 3
