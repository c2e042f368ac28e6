"""The graph, one short builder per stage. The same graph goes to every runner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfx import types
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.trainer.component import Trainer
from tfx.dsl.compiler import constants
from tfx.dsl.compiler.compiler import Compiler
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto import trainer_pb2
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import standard_artifacts

from components.artifacts import GateDecision
from components.base_model.strategy import EXAMPLES, LatestBlessedOfEarlierExamples
from components.data_gate.component import DataGate
from components.data_gate.strategy import DECISION, STATISTICS, LastAcceptedOtherData
from components.evaluator.component import PairEvaluator
from components.evaluator.names import is_ranking
from components.evaluator.settings import EvaluationSettings
from components.latest_blessed.strategy import BLESSING, CANDIDATE, MODEL, LatestBlessedOtherModel
from components.model_card.component import ModelCard
from components.model_card.settings import CardSettings
from components.pair_example_gen import files
from components.pair_example_gen.component import PairExampleGen
from components.pair_example_gen.domain import score_domain
from components.pair_example_gen.source import split_path
from components.pair_statistics.component import PairStatisticsGen
from components.pair_transform.component import PairTransform
from components.pusher.component import VersionPusher
from components.ranking_evaluator.component import RankingEvaluator
from components.ranking_evaluator.settings import Candidates, RankingSettings
from components.serving_canary.component import ServingCanary
from pipeline.beam import profiles
from pipeline.config import PipelineConfig, candidates_layout, ingest_settings
from pipeline.records.root import Root
from pipeline.running.code_digest import this_program
from pipeline.running.node_code import add_code

if TYPE_CHECKING:
    from tfx.components.tuner.component import Tuner

# Ids of the nodes whose outputs the record of a run reads.
EXAMPLE_GEN, STATISTICS_GEN, LAST_ACCEPTED, GATE, TRANSFORM, TRAINER, RESOLVER, EVALUATOR, CANARY, PUSHER = (
    "PairExampleGen",
    "StatisticsGen",
    "LastAcceptedData",
    "DataGate",
    "Transform",
    "Trainer",
    "LatestBlessedModel",
    "Evaluator",
    "ServingCanary",
    "Pusher",
)
# Nodes that are there where the pipeline file asks for them.
BASE_MODEL, TUNER = "BaseModel", "Tuner"
# What TFX calls in the trainer.
_RUN_FN, _TUNER_FN = "trainer.run_fn.run_fn", "trainer.tuning.tuner_fn"


def create_pipeline(config: PipelineConfig, root: Root, accept_reason: str | None = None) -> Pipeline:
    """The whole graph of `config`, keeping its artifacts below `root`; `accept_reason` overrules the gate.

    It holds no connection to ML Metadata: where that is, the runner says.
    """
    example_gen = _example_gen(config)
    statistics, schema, validator, last_accepted, gate = _validation(config, example_gen, accept_reason)
    transform = _transform(config, example_gen, schema, gate)
    base_model = _base_model(example_gen) if config.train.warm_start else None
    tuner = _tuner(config, example_gen, transform) if config.tune else None
    model_trainer = _trainer(config, example_gen, transform, base_model, tuner)
    resolver = _last_blessed(model_trainer)
    ranking = _ranking_evaluator(config, example_gen, transform, model_trainer, resolver)
    evaluator = _evaluator(config, example_gen, transform, model_trainer, resolver, ranking)
    canary = _canary(config, example_gen, model_trainer, evaluator)
    card = _card(config, example_gen, statistics, model_trainer, evaluator, tuner)
    pusher = _pusher(config, root, model_trainer, evaluator, canary, card)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(root.artifacts),
        components=[
            example_gen, statistics, schema, validator, last_accepted, gate,
            transform, *filter(None, (base_model, tuner)), model_trainer, resolver,
            *filter(None, (ranking,)), evaluator, canary, card, pusher,
        ],
        enable_cache=True,
        beam_pipeline_args=profiles.options(config.beam, str(root.artifacts)),
    )  # fmt: skip


def compile_graph(graph: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """TFX's intermediate representation of `graph` for one run."""
    compiled = Compiler().compile(graph)
    run_parameter = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    runtime_parameter_utils.substitute_runtime_parameter(compiled, run_parameter)
    add_code(compiled, this_program())
    for node in compiled.nodes:
        if node.pipeline_node.node_info.id == PUSHER:
            # It looks at the serving directory itself (components/pusher/executor.py).
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    return compiled


def _example_gen(config: PipelineConfig) -> PairExampleGen:
    base, pattern = split_path(config.data.path)
    return PairExampleGen(base, pattern, ingest_settings(config, score_domain(config.schema_path)))


def _validation(
    config: PipelineConfig, example_gen: PairExampleGen, accept_reason: str | None
) -> tuple[PairStatisticsGen, ImportSchemaGen, ExampleValidator, Resolver, DataGate]:
    """Statistics against the curated schema and the last accepted data, and the gate that stops the run."""
    examples = example_gen.outputs["examples"]
    statistics = PairStatisticsGen(examples, config.validate_.max_statistics_rows).with_id(STATISTICS_GEN)
    schema = ImportSchemaGen(schema_file=config.schema_path)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    last_accepted = Resolver(
        strategy_class=LastAcceptedOtherData,
        **{STATISTICS: statistics.outputs["statistics"], DECISION: types.Channel(type=GateDecision)},
    ).with_id(LAST_ACCEPTED)
    gate = DataGate(
        examples,
        statistics.outputs["statistics"],
        validator.outputs["anomalies"],
        last_accepted.outputs[DECISION],
        config.validate_,
        accept_reason,
    )
    return statistics, schema, validator, last_accepted, gate


def _transform(
    config: PipelineConfig, example_gen: PairExampleGen, schema: ImportSchemaGen, gate: DataGate
) -> PairTransform:
    """Vocabularies and score centring; waits for the gate."""
    transform = PairTransform(
        examples=example_gen.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        custom_config={"encode": config.encode.model_dump(), "score": config.score.model_dump()},
    )
    transform.add_upstream_node(gate)
    return transform.with_id(TRANSFORM)


def _base_model(example_gen: PairExampleGen) -> Resolver:
    """The model that a warm start goes on from."""
    return Resolver(
        strategy_class=LatestBlessedOfEarlierExamples,
        **{
            EXAMPLES: example_gen.outputs["examples"],
            MODEL: types.Channel(type=standard_artifacts.Model),
            BLESSING: types.Channel(type=standard_artifacts.ModelBlessing),
        },
    ).with_id(BASE_MODEL)


def _tuner(config: PipelineConfig, example_gen: PairExampleGen, transform: PairTransform) -> Tuner:
    """Trials of settings, the best of which the Trainer takes."""
    assert config.tune
    # Here, as it imports Keras Tuner, which few runs need.
    from tfx.components.tuner.component import Tuner

    tune = config.tune.model_dump(exclude={"parameters"}) | {"space": config.tune.space(config.model, config.train)}
    return Tuner(
        tuner_fn=_TUNER_FN,
        custom_config={**_training_config(config, _TUNER_FN), "tune": tune},
        **_training_inputs(example_gen, transform),
    )


def _trainer(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    transform: PairTransform,
    base_model: Resolver | None,
    tuner: Tuner | None,
) -> Trainer:
    return Trainer(
        run_fn=_RUN_FN,
        custom_config=_training_config(config, _RUN_FN),
        base_model=base_model.outputs[MODEL] if base_model else None,
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        **_training_inputs(example_gen, transform),
    )


def _training_inputs(example_gen: PairExampleGen, transform: PairTransform) -> dict[str, Any]:
    return {
        "examples": example_gen.outputs["examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "train_args": trainer_pb2.TrainArgs(splits=["train"]),
        "eval_args": trainer_pb2.EvalArgs(splits=["eval"]),
    }


def _training_config(config: PipelineConfig, function: str) -> dict[str, Any]:
    return {
        "encode": config.encode.model_dump(),
        "model": config.model.model_dump(),
        "train": config.train.model_dump(),
        # An interrupted training or search resumes only with the code that it started with.
        "code": this_program().digest([function]),
    }


def _last_blessed(model_trainer: Trainer) -> Resolver:
    return Resolver(
        strategy_class=LatestBlessedOtherModel,
        **{
            CANDIDATE: model_trainer.outputs["model"],
            MODEL: types.Channel(type=standard_artifacts.Model),
            BLESSING: types.Channel(type=standard_artifacts.ModelBlessing),
        },
    ).with_id(RESOLVER)


def _ranking_evaluator(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    transform: PairTransform,
    trained: Trainer,
    resolver: Resolver,
) -> RankingEvaluator | None:
    """Ranking metrics, where any is reported or judged."""
    metrics = tuple(metric for metric in config.evaluate.all_metrics if is_ranking(metric))
    if not metrics:
        return None
    candidates, path = None, config.evaluate.candidates
    if path is not None:
        candidates = Candidates(path=path, layout=candidates_layout(config), fingerprint=str(files.fingerprint(path)))
    return RankingEvaluator(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=trained.outputs["model"],
        baseline_model=resolver.outputs[MODEL],
        settings=RankingSettings(metrics=metrics, slices=config.evaluate.measured_slices, candidates=candidates),
    )


def _evaluator(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    transform: PairTransform,
    trained: Trainer,
    resolver: Resolver,
    ranking: RankingEvaluator | None,
) -> PairEvaluator:
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
    ).with_id(EVALUATOR)


def _canary(
    config: PipelineConfig, example_gen: PairExampleGen, trained: Trainer, evaluator: PairEvaluator
) -> ServingCanary:
    return ServingCanary(
        model=trained.outputs["model"],
        examples=example_gen.outputs["examples"],
        blessing=evaluator.outputs["blessing"],
        settings=config.publish.canary,
    ).with_id(CANARY)


def _card(
    config: PipelineConfig,
    example_gen: PairExampleGen,
    statistics: PairStatisticsGen,
    trained: Trainer,
    evaluator: PairEvaluator,
    tuner: Tuner | None,
) -> ModelCard:
    sections = ("data", "encode", "score", "model", "train")
    return ModelCard(
        examples=example_gen.outputs["examples"],
        quarantine=example_gen.outputs["quarantine"],
        statistics=statistics.outputs["statistics"],
        model=trained.outputs["model"],
        model_run=trained.outputs["model_run"],
        evaluation=evaluator.outputs["evaluation"],
        settings=CardSettings(pipeline=config.name, **{name: getattr(config, name).model_dump() for name in sections}),
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
    )


def _pusher(
    config: PipelineConfig,
    root: Root,
    trained: Trainer,
    evaluator: PairEvaluator,
    canary: ServingCanary,
    card: ModelCard,
) -> VersionPusher:
    return VersionPusher(
        model=trained.outputs["model"],
        blessing=evaluator.outputs["blessing"],
        canary=canary.outputs["blessing"],
        card=card.outputs["card"],
        directory=root.serving(config),
        keep=config.publish.keep,
    ).with_id(PUSHER)
