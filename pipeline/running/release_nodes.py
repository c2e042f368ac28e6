"""Builders of the nodes that evaluate, test, document and publish a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfx import types
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import standard_artifacts

from components.batch_lists.component import BatchLists
from components.evaluator.component import PairEvaluator
from components.evaluator.names import is_ranking
from components.evaluator.settings import EvaluationSettings
from components.latest_blessed.strategy import BLESSING, CANDIDATE, MODEL, LatestBlessedOtherModel
from components.model_card.component import ModelCard
from components.model_card.settings import CardSettings
from components.pair_example_gen import files
from components.pair_example_gen.component import PairExampleGen
from components.pair_statistics.component import PairStatisticsGen
from components.pair_transform.component import PairTransform
from components.pusher.component import VersionPusher, push_destination
from components.ranking_evaluator.component import RankingEvaluator
from components.ranking_evaluator.settings import Candidates, RankingSettings
from components.replay.component import ReplayCheck
from components.serving_canary.component import ServingCanary
from pipeline.config import PipelineConfig, candidate_files
from pipeline.records import node_ids
from pipeline.records.root import Root

if TYPE_CHECKING:
    from components.tuner.component import Tuner


def build_last_blessed(model_trainer: Trainer) -> Resolver:
    """Finds the last blessed model other than the new one, to compare with it."""
    return Resolver(
        strategy_class=LatestBlessedOtherModel,
        **{
            CANDIDATE: model_trainer.outputs["model"],
            MODEL: types.Channel(type=standard_artifacts.Model),
            BLESSING: types.Channel(type=standard_artifacts.ModelBlessing),
        },
    ).with_id(node_ids.LAST_BLESSED)


def build_ranking_evaluator(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    transform: PairTransform,
    trained: Trainer,
    resolver: Resolver,
) -> RankingEvaluator | None:
    """Measures the ranking metrics. Returns None if the pipeline file requests none."""
    metrics = tuple(metric for metric in config.evaluate.all_metrics if is_ranking(metric))
    if not metrics:
        return None
    candidates, path = None, config.evaluate.candidates
    if path is not None:
        candidates = Candidates(**dict(candidate_files(config, path)), fingerprint=str(files.fingerprint(path)))
    return RankingEvaluator(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=trained.outputs["model"],
        baseline_model=resolver.outputs[MODEL],
        settings=RankingSettings(metrics=metrics, slices=config.evaluate.measured_slices, candidates=candidates),
    )


def build_evaluator(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    transform: PairTransform,
    trained: Trainer,
    resolver: Resolver,
    ranking: RankingEvaluator | None,
) -> PairEvaluator:
    """Measures the score metrics, and blesses the model if every rule passes."""
    return PairEvaluator(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=trained.outputs["model"],
        baseline_model=resolver.outputs[MODEL],
        settings=EvaluationSettings(
            rules=config.evaluate.bless,
            are_defaults=config.evaluate.has_default_rules,
            scored=config.data.columns.score is not None,
            slices=config.evaluate.measured_slices,
        ),
        ranking=ranking.outputs["evaluation"] if ranking else None,
    ).with_id(node_ids.EVALUATOR)


def build_canary(
    config: PipelineConfig, example_gen: PairExampleGen, trained: Trainer, evaluator: PairEvaluator
) -> ServingCanary:
    """Sends requests to the blessed model in a model server."""
    return ServingCanary(
        model=trained.outputs["model"],
        examples=example_gen.outputs["examples"],
        model_blessing=evaluator.outputs["blessing"],
        settings=config.publish.canary,
    ).with_id(node_ids.CANARY)


def build_replay(config: PipelineConfig, root: Root, trained: Trainer, canary: ServingCanary) -> ReplayCheck | None:
    """Compares the candidate with the served version. Returns None if the pipeline file names no log."""
    if config.publish.replay is None:
        return None
    return ReplayCheck(
        model=trained.outputs["model"],
        infra_blessing=canary.outputs["blessing"],
        push_destination=push_destination(root.serving(config)),
        pipeline=config.name,
        settings=config.publish.replay,
        storage=config.storage,
    ).with_id(node_ids.REPLAY)


def build_card(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    statistics: PairStatisticsGen,
    trained: Trainer,
    evaluator: PairEvaluator,
    tuner: Tuner | None,
) -> ModelCard:
    """Writes the model card."""
    sections = ("data", "encode", "score", "model", "train")
    return ModelCard(
        examples=example_gen.outputs["examples"],
        quarantine=example_gen.outputs["quarantine"],
        statistics=statistics.outputs["statistics"],
        model=trained.outputs["model"],
        model_run=trained.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        settings=CardSettings(
            pipeline=config.name, **{name: getattr(config, name).model_dump(mode="json") for name in sections}
        ),
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
    )


def build_pusher(
    config: PipelineConfig,
    root: Root,
    trained: Trainer,
    evaluator: PairEvaluator,
    tested: ServingCanary | ReplayCheck,
    card: ModelCard,
) -> VersionPusher:
    """Publishes the model if it is blessed and passed the last test."""
    return VersionPusher(
        model=trained.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=tested.outputs["blessing"],
        card=card.outputs["card"],
        push_destination=push_destination(root.serving(config)),
        pipeline=config.name,
        keep=config.publish.keep,
        approve=int(config.publish.approve),
        storage=config.storage,
    ).with_id(node_ids.PUSHER)


def build_lists(
    config: PipelineConfig, root: Root, example_gen: PairExampleGen, trained: Trainer, pusher: VersionPusher
) -> BatchLists | None:
    """Ranks all entities with the published model. Returns None if the pipeline file asks for no lists."""
    if config.batch is None:
        return None
    return BatchLists(
        model=trained.outputs["model"],
        examples=example_gen.outputs["examples"],
        pushed_model=pusher.outputs["pushed_model"],
        settings=config.batch,
        directory=root.place_of(root.lists.name),
        pipeline=config.name,
        keep=config.publish.keep,
        storage=config.storage,
    ).with_id(node_ids.BATCH_LISTS)
