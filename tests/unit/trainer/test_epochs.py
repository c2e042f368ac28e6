"""Epochs on disk: resuming, and complete state after interrupted writes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer import epochs as epochs_module
from trainer.epochs import Epochs, Monitor
from trainer.settings import EarlyStoppingSettings

pytestmark = pytest.mark.tensorflow

STOPPING = EarlyStoppingSettings(patience=2, min_delta=0.1)


def _variables(value: float = 0.0) -> list[tf.Variable]:
    return [tf.Variable(np.full((3, 2), value, np.float32)), tf.Variable(np.int64(value))]


def _epochs(variables: list[tf.Variable], folder: Path | None, stopping=STOPPING, curves: Path | None = None) -> Epochs:
    return Epochs(
        variables,
        None if folder is None else str(folder),
        stopping,
        Monitor("val_loss"),
        None if curves is None else str(curves),
    )


def _train(epochs: Epochs, variables: list[tf.Variable], losses: list[float]) -> None:
    """Epoch n sets every variable to n."""
    for loss in losses:
        for variable in variables:
            variable.assign(tf.cast(tf.fill(variable.shape, epochs.done + 1), variable.dtype))
        epochs.finish({"val_loss": loss})


def _value(variables: list[tf.Variable]) -> set[int]:
    return {int(number) for variable in variables for number in variable.numpy().ravel()}


def test_best_epoch_is_restored(tmp_path: Path) -> None:
    variables = _variables()
    epochs = _epochs(variables, tmp_path)
    _train(epochs, variables, [1.0, 0.5, 0.45, 0.8])
    assert (epochs.best, epochs.done, epochs.over) == (2, 4, True)  # 0.45 is not better by 0.1
    epochs.restore_best()
    assert _value(variables) == {2}


def test_last_of_equal_rankings_is_the_best(tmp_path: Path) -> None:
    variables = _variables()
    epochs = Epochs(variables, str(tmp_path), EarlyStoppingSettings(patience=2), Monitor("val_ndcg@10", rising=True))
    for value in (0.5, 1.0, 1.0, 0.9):
        epochs.finish({"val_ndcg@10": value})
    assert (epochs.best, epochs.over) == (3, False)
    epochs.finish({"val_ndcg@10": 0.9})
    assert (epochs.best, epochs.over) == (3, True)


def test_last_epoch_stays_without_early_stopping(tmp_path: Path) -> None:
    variables = _variables()
    epochs = _epochs(variables, tmp_path, stopping=None)
    _train(epochs, variables, [1.0, 2.0, 3.0, 4.0])
    assert not epochs.over
    epochs.restore_best()
    assert _value(variables) == {4}


def test_unfinished_training_resumes(tmp_path: Path) -> None:
    variables = _variables()
    _train(_epochs(variables, tmp_path), variables, [1.0, 0.5, 0.7])
    again = _variables()
    epochs = _epochs(again, tmp_path)
    assert (epochs.done, epochs.best, epochs.history) == (3, 2, {"val_loss": [1.0, 0.5, 0.7]})
    assert _value(again) == {3}
    _train(epochs, again, [0.9])
    assert epochs.over
    epochs.restore_best()
    assert _value(again) == {2}


def test_last_epoch_is_not_saved(tmp_path: Path) -> None:
    variables = _variables()
    epochs = _epochs(variables, tmp_path)
    _train(epochs, variables, [1.0, 0.5])
    variables[0].assign(variables[0] + 1)
    epochs.finish({"val_loss": 0.45}, last=True)
    assert epochs.done == 3
    epochs.restore_best()
    assert _value(variables) == {2}
    again = _epochs(_variables(), tmp_path)
    assert (again.done, again.history) == (2, {"val_loss": [1.0, 0.5]})


def test_long_last_epoch_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill during the export of an hour's epoch must not repeat the hour."""
    clock = iter([0.0, 1.0, 3600.0])
    monkeypatch.setattr("trainer.epochs.time.monotonic", lambda: next(clock))
    epochs = Epochs([tf.Variable(1.0)], str(tmp_path), None, Monitor("loss"))
    epochs.finish({"loss": 2.0})
    epochs.finish({"loss": 1.0}, last=True)
    monkeypatch.undo()
    assert Epochs([tf.Variable(0.0)], str(tmp_path), None, Monitor("loss")).done == 2


def test_only_last_and_best_epoch_are_kept(tmp_path: Path) -> None:
    variables = _variables()
    _train(_epochs(variables, tmp_path), variables, [1.0, 0.5, 0.7])
    assert {path.name for path in tmp_path.iterdir()} == {"state.json", "epoch-00002", "epoch-00003"}


class Killed(BaseException):
    """The process ends."""


class Dying:
    """Allows a number of writes, then ends the process."""

    def __init__(self, writes: int) -> None:
        self._left = writes

    def before(self, function, writes=lambda *arguments: True):
        def call(*arguments, **named):
            if writes(*arguments):
                self._left -= 1
                if self._left < 0:
                    raise Killed
            return function(*arguments, **named)

        return call


@pytest.mark.parametrize("passed", range(4))
def test_interrupted_write_resumes_from_complete_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: int
) -> None:
    """An epoch opens three files (two arrays and the state) and renames one."""
    variables = _variables()
    epochs = _epochs(variables, tmp_path)
    _train(epochs, variables, [1.0, 0.5])
    dying = Dying(passed)
    with monkeypatch.context() as patched:
        opened = dying.before(tf.io.gfile.GFile, writes=lambda path, mode="r": "w" in mode)
        patched.setattr(epochs_module.tf.io.gfile, "GFile", opened)
        patched.setattr(epochs_module.tf.io.gfile, "rename", dying.before(tf.io.gfile.rename))
        with pytest.raises(Killed):
            _train(epochs, variables, [0.2])
    assert _value(_restored(tmp_path)) == {2}
    again = _variables()
    _train(_epochs(again, tmp_path), again, [0.2])
    assert _value(_restored(tmp_path)) == {3}


def _restored(folder: Path) -> list[tf.Variable]:
    variables = _variables()
    _epochs(variables, folder)
    return variables


def test_curves_are_complete_after_restart(tmp_path: Path) -> None:
    variables = _variables()
    _train(_epochs(variables, tmp_path / "epochs", curves=tmp_path / "a"), variables, [1.0, 0.5])
    _train(_epochs(variables, tmp_path / "epochs", curves=tmp_path / "b"), variables, [0.25])
    (file,) = (tmp_path / "b").iterdir()
    points = {}
    for record in tf.data.TFRecordDataset(os.fspath(file)).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars" and value.tag == "epoch_val_loss"
            points[event.step] = float(tf.make_ndarray(value.tensor))
    assert points == {1: 1.0, 2: 0.5, 3: 0.25}
