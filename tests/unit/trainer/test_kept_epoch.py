"""The epoch that a training kept, as its history shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.epochs import Epochs, Monitor, kept_epoch
from trainer.settings import EarlyStoppingSettings

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({"loss": [3.0, 2.0]}, (2, None)),
        ({"loss": [3.0, 2.0, 1.0], "val_loss": [2.0, 1.0, 1.5]}, (2, "val_loss")),
        ({"loss": [3.0, 2.0], "val_loss": [2.0, 1.0], "val_rmse": [1.0, 2.0]}, (1, "val_rmse")),
        ({"loss": [3.0, 2.0], "val_loss": [1.0, 2.0], "val_ndcg@10": [0.5, 0.5]}, (2, "val_ndcg@10")),
    ],
)
def test_kept_epoch_is_the_best_on_held_out_rows(
    history: dict[str, list[float]], expected: tuple[int, str | None]
) -> None:
    assert kept_epoch(history, 0.0) == expected


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8), st.sampled_from(["val_rmse", "val_ndcg@10"]), st.floats(0, 0.5)
)
def test_history_tells_the_epoch_that_training_restores(values: list[float], name: str, least: float) -> None:
    monitor = Monitor(name, rising=name != "val_rmse")
    epochs = Epochs([], None, EarlyStoppingSettings(min_delta=least), monitor)
    for value in values:
        epochs.finish({"loss": 1.0, name: value})
    assert kept_epoch(epochs.history, least) == (epochs.best, name)
