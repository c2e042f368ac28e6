"""Builders of the nodes that train: the base of a warm start, the Tuner and the Trainer."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.common.resolver import Resolver
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts

from components.base_model.strategy import EXAMPLES, LatestBlessedOfEarlierExamples
from components.latest_blessed.strategy import BLESSING, MODEL
from components.pair_example_gen.component import PairExampleGen
from components.pair_transform.component import PairTransform
from components.tuner.component import Tuner
from components.tuner.settings import TunerSettings
from pipeline.config import PipelineConfig
from pipeline.records import node_ids
from pipeline.running.code_digest import this_program
from trainer.custom_config import trainer_config
from trainer.own import module

# The function that TFX calls in the trainer.
_RUN_FN = "trainer.run_fn.run_fn"


def build_base_model(example_gen: PairExampleGen) -> Resolver:
    """Finds the base model of a warm start."""
    return Resolver(
        strategy_class=LatestBlessedOfEarlierExamples,
        **{
            EXAMPLES: example_gen.outputs["examples"],
            MODEL: types.Channel(type=standard_artifacts.Model),
            BLESSING: types.Channel(type=standard_artifacts.ModelBlessing),
        },
    ).with_id(node_ids.BASE_MODEL)


def build_tuner(config: PipelineConfig, example_gen: PairExampleGen, transform: PairTransform) -> Tuner:
    """Tries settings. The Trainer uses the best ones."""
    assert config.tune
    return Tuner(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        settings=TunerSettings(
            encode=config.encode,
            model=config.model,
            train=config.train,
            metric=config.comparing_metric,
            tune=config.tuned(config.tune),
        ),
    )


def build_trainer(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    transform: PairTransform,
    base_model: Resolver | None,
    tuner: Tuner | None,
) -> Trainer:
    """Trains the model, from the base model and with the best trial if there are any."""
    return Trainer(
        run_fn=_RUN_FN,
        custom_config=_training_config(config) | {"approximate": config.publish.approximate},
        base_model=base_model.outputs[MODEL] if base_model else None,
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
    )


def _training_config(config: PipelineConfig) -> dict[str, Any]:
    return {
        **trainer_config(config.encode, config.model, config.train, config.choosing_metric, config.hold_out),
        **config.feature_columns,
        **({module.KEY: module.read(config.train.module_file)} if config.train.module_file else {}),
        # An interrupted training resumes only with the code that it started with.
        "code": this_program().digest([_RUN_FN]),
    }
