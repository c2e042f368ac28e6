"""The function of the Tuner node: trials of settings on the same pairs, compared on held-out rows."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

import keras_tuner
import tensorflow as tf
from absl import logging
from keras_tuner.engine import base_tuner
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from errors import TrainingDiverged, TrainingError
from trainer.data import dataset, hashing
from trainer.data.examples import Examples, of_split
from trainer.data.pairs import TrainingPairs
from trainer.data.transform_graph import TransformGraph
from trainer.epochs import Monitor
from trainer.model.table_sizes import TableSizes, table_sizes
from trainer.settings import training_settings, with_values
from trainer.training import fitting

_ORACLES = {
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
}
_STATE = "search"


class SettingsTuner(base_tuner.BaseTuner):
    """Tries settings with `fitting.fit`.

    A trial fails if its training diverges or does not fit in memory. Any other exception ends the search. Each trial is
    saved as soon as it ends, and an interrupted search resumes with its unfinished trial.
    """

    def __init__(self, oracle: keras_tuner.Oracle, custom_config: dict[str, Any], directory: str) -> None:
        self._custom_config = custom_config
        super().__init__(oracle, directory=directory, project_name=_STATE)

    def run_trial(
        self, trial: keras_tuner.engine.trial.Trial, pairs: TrainingPairs, sizes: TableSizes
    ) -> dict[str, float]:
        """Trains with the settings of `trial` and returns the best validation metric."""
        values = trial.hyperparameters.values
        _, model, train = training_settings(with_values(self._custom_config, values))
        measure = self.oracle.objective.name
        try:
            _, history = fitting.fit(pairs, sizes, model, train, metric=self._custom_config["metric"])
        except TrainingError as error:
            logging.warning("trial %s, %s: %s", trial.trial_id, values, error)
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except Exception as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        finally:
            # A Keras model is part of a reference cycle, and Python does not know how large its tables are.
            gc.collect()
        best = (max if self.oracle.objective.direction == "max" else min)(history[measure])
        logging.info("trial %s, %s: %s %g", trial.trial_id, values, measure, best)
        return {measure: best}

    def search(self, load: Callable[[str], TrainingPairs], sizes: TableSizes) -> None:
        """Runs all remaining trials.

        Args:
          load: loads the pairs, once. Its argument is a directory that it may use during the search.
          sizes: the sizes of the embedding tables.

        Raises:
          TrainingDiverged: every trial failed.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="kindred-pairs-") as directory:
                super().search(pairs=load(directory), sizes=sizes)
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None
        trials = list(self.oracle.trials.values())
        if all(trial.score is None for trial in trials):
            raise TrainingDiverged(f"tune: all {len(trials)} trials failed. run.log has the reason of each")
        tf.io.gfile.rmtree(os.path.dirname(self.directory))


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Builds the tuner for the settings in `custom_config["tune"]`, and its arguments.

    Args:
      fn_args: the arguments of TFX.
    """
    encode, model, train = training_settings(fn_args.custom_config)
    transform = TransformGraph(fn_args.transform_graph_path)
    sizes = table_sizes(transform, encode)

    def load(directory: str) -> TrainingPairs:
        encoder = hashing.numbered(transform.transform_features_layer(), sizes.numberings)
        (pattern,) = fn_args.train_files
        examples = Examples(of_split(pattern))
        return dataset.load(examples, encoder, train.data_memory_mb << 20, directory, encode.shared)

    measure = fitting.monitored(encode, model, fn_args.custom_config["metric"])
    tuner = build_tuner(fn_args.custom_config, measure, _directory(fn_args))
    return TunerFnResult(tuner=tuner, fit_kwargs={"load": load, "sizes": sizes})


def build_tuner(custom_config: dict[str, Any], measure: Monitor, directory: str) -> SettingsTuner:
    """Builds a tuner that resumes an interrupted search in `directory`.

    Args:
      custom_config: the `custom_config` of the Tuner node.
      measure: the metric that compares trials.
      directory: where trials are saved.
    """
    try:
        return SettingsTuner(build_oracle(custom_config["tune"], measure), custom_config, directory)
    except (ValueError, KeyError):
        # The search was killed during a write. It starts from the beginning.
        tf.io.gfile.rmtree(directory)
        return SettingsTuner(build_oracle(custom_config["tune"], measure), custom_config, directory)


def build_oracle(tune: dict[str, Any], measure: Monitor) -> keras_tuner.Oracle:
    """Builds the oracle, which chooses the settings of the next trial.

    Args:
      tune: section `tune` with the search space.
      measure: the metric that compares trials.
    """
    oracle = _ORACLES[tune["search"]](
        objective=keras_tuner.Objective(measure.name, "max" if measure.rising else "min"),
        max_trials=tune["trials"],
        hyperparameters=search_space(tune["space"]),
        allow_new_entries=False,
        seed=tune["seed"],
        # Failed trials in a row must not end the search.
        max_consecutive_failed_trials=tune["trials"] + 1,
    )
    oracle.verbose = 0  # verbose output clears the screen
    return oracle


def search_space(space: dict[str, dict[str, Any]]) -> keras_tuner.HyperParameters:
    """Converts a search space to hyperparameters of KerasTuner.

    Args:
      space: `{"choices": [...]}` or `{"min", "max", "scale"}` by dotted key.
    """
    parameters = keras_tuner.HyperParameters()
    for key, parameter in space.items():
        if "choices" in parameter:
            _add_choices(parameters, key, parameter["choices"])
        else:
            least, most = parameter["min"], parameter["max"]
            of_kind = parameters.Int if isinstance(least, int) and isinstance(most, int) else parameters.Float
            of_kind(key, least, most, sampling=parameter["scale"])
    return parameters


def _add_choices(parameters: keras_tuner.HyperParameters, key: str, choices: list[Any]) -> None:
    """Adds a choice whose values keep their type. KerasTuner's `Choice` converts booleans to integers."""
    if isinstance(choices[0], bool):
        if len(choices) == 1:
            parameters.Fixed(key, choices[0])
        else:
            parameters.Boolean(key)
        return
    is_real = any(isinstance(choice, float) for choice in choices)
    parameters.Choice(key, [float(choice) for choice in choices] if is_real else choices, ordered=False)


def _directory(fn_args: FnArgs) -> str:
    """Returns the directory for the trials of this search. It is next to the folders of all runs of this node."""
    of = [fn_args.custom_config, fn_args.train_files, fn_args.transform_graph_path]
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
    return os.path.join(fn_args.working_dir.partition("/.system/")[0], "unfinished", digest)
