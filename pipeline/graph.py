"""The graph, one short builder per stage. The same graph goes to every runner."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.evaluator.component import Evaluator
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

import trainer
from components.artifacts import GateDecision
from components.data_gate.component import DataGate
from components.data_gate.rules import GateSettings
from components.data_gate.strategy import DECISION, STATISTICS, LastAcceptedOtherData
from components.evaluator.rules import Rule, eval_config
from components.latest_blessed.strategy import BLESSING, CANDIDATE, MODEL, LatestBlessedOtherModel
from components.pair_example_gen.component import PairExampleGen
from components.pair_example_gen.domain import score_domain
from components.pair_example_gen.source import split_path
from components.pair_statistics.component import PairStatisticsGen
from components.pair_transform.component import PairTransform
from components.pusher.component import VersionPusher
from pipeline import beam
from pipeline.config import BlessingRule, PipelineConfig, ingest_settings
from pipeline.root import Root

# Ids of the nodes whose outputs the record of a run reads.
EXAMPLE_GEN, STATISTICS_GEN, LAST_ACCEPTED, GATE, TRANSFORM, TRAINER, RESOLVER, EVALUATOR, PUSHER = (
    "PairExampleGen",
    "StatisticsGen",
    "LastAcceptedData",
    "DataGate",
    "Transform",
    "Trainer",
    "LatestBlessedModel",
    "Evaluator",
    "Pusher",
)


def create_pipeline(
    config: PipelineConfig, root: Root, beam_profile: str = "local", accept_reason: str | None = None
) -> Pipeline:
    """The whole graph of `config`, keeping its artifacts below `root`; `accept_reason` overrules the gate.

    It holds no connection to ML Metadata: where that is, the runner says.
    """
    example_gen = _example_gen(config)
    statistics, schema, validator, last_accepted, gate = _validation(config, example_gen, accept_reason)
    transform = _transform(config, example_gen, schema, gate)
    model_trainer = _trainer(config, example_gen, transform)
    resolver = _last_blessed(model_trainer)
    evaluator = _evaluator(config, example_gen, schema, model_trainer, resolver)
    pusher = _pusher(config, root, model_trainer, evaluator)
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(root.artifacts),
        components=[
            example_gen, statistics, schema, validator, last_accepted, gate,
            transform, model_trainer, resolver, evaluator, pusher,
        ],
        enable_cache=True,
        beam_pipeline_args=beam.options(beam_profile),
    )  # fmt: skip


def compile_graph(graph: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """TFX's intermediate representation of `graph` for one run."""
    compiled = Compiler().compile(graph)
    run_parameter = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    runtime_parameter_utils.substitute_runtime_parameter(compiled, run_parameter)
    for node in compiled.nodes:
        if node.pipeline_node.node_info.id == PUSHER:
            # It looks at the serving directory itself (components/pusher/executor.py).
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    return compiled


def blessing_rules(config: PipelineConfig) -> list[Rule]:
    """Section `evaluate.bless` as the Evaluator's rules."""
    return [_rule(rule) for rule in config.evaluate.bless]


def _rule(rule: BlessingRule) -> Rule:
    return Rule(rule.metric, rule.below, rule.above, rule.better_than, rule.margin or 0.0)


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
        GateSettings(**config.validate_.model_dump(exclude={"max_statistics_rows"})),
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
        custom_config={
            "encode": config.encode.model_dump(),
            "score": config.score.model_dump(),
            "code": code_fingerprint("features.py", "preprocessing.py", "settings.py"),
        },
        # StatisticsGen has described the raw data, and the transformed are row numbers.
        disable_statistics=True,
        # Training encodes the examples itself (trainer/dataset.py): writing them and reading them back costs more.
        materialize=False,
    )
    transform.add_upstream_node(gate)
    return transform.with_id(TRANSFORM)


def _trainer(config: PipelineConfig, example_gen: PairExampleGen, transform: PairTransform) -> Trainer:
    custom_config: dict[str, Any] = {
        "encode": config.encode.model_dump(),
        "model": config.model.model_dump(),
        "train": config.train.model_dump(),
        "code": code_fingerprint("*.py"),
    }
    return Trainer(
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        run_fn="trainer.run_fn.run_fn",
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=custom_config,
    )


def _last_blessed(model_trainer: Trainer) -> Resolver:
    return Resolver(
        strategy_class=LatestBlessedOtherModel,
        **{
            CANDIDATE: model_trainer.outputs["model"],
            MODEL: types.Channel(type=standard_artifacts.Model),
            BLESSING: types.Channel(type=standard_artifacts.ModelBlessing),
        },
    ).with_id(RESOLVER)


def _evaluator(
    config: PipelineConfig, example_gen: PairExampleGen, schema: ImportSchemaGen, trained: Trainer, resolver: Resolver
) -> Evaluator:
    return Evaluator(
        examples=example_gen.outputs["examples"],
        schema=schema.outputs["schema"],
        model=trained.outputs["model"],
        baseline_model=resolver.outputs[MODEL],
        eval_config=eval_config(blessing_rules(config)),
    )


def _pusher(config: PipelineConfig, root: Root, trained: Trainer, evaluator: Evaluator) -> VersionPusher:
    return VersionPusher(
        model=trained.outputs["model"],
        blessing=evaluator.outputs["blessing"],
        directory=str(root.serving(config)),
        keep=config.publish.keep,
    ).with_id(PUSHER)


def code_fingerprint(*patterns: str) -> str:
    """A digest of the trainer's modules, so that a change of the code is a change that the cache sees."""
    folder = Path(trainer.__file__).parent
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
