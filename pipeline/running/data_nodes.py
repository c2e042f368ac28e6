"""Builders of the nodes that prepare data: ingest, validation, gate and Transform."""

from __future__ import annotations

from tfx import types
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.common.resolver import Resolver

from components.artifacts import GateDecision
from components.data_gate.component import DataGate
from components.data_gate.strategy import DECISION, STATISTICS, LastAcceptedOtherData
from components.pair_example_gen.component import PairExampleGen
from components.pair_example_gen.domain import score_domain
from components.pair_statistics.component import PairStatisticsGen
from components.pair_transform.component import PairTransform
from pipeline.config import PipelineConfig, ingest_settings
from pipeline.records import node_ids
from pipeline.records.root import Root
from trainer.custom_config import transform_config


def build_example_gen(config: PipelineConfig, root: Root) -> PairExampleGen:
    """Reads the pairs, and splits them into train and eval."""
    return PairExampleGen.of(ingest_settings(config, str(root.inputs), score_domain(config.schema_path)))


def build_validation(
    config: PipelineConfig, example_gen: PairExampleGen, accept_reason: str | None
) -> tuple[PairStatisticsGen, ImportSchemaGen, ExampleValidator, Resolver, DataGate]:
    """Validates statistics against the schema and the last accepted data. The gate stops the run if a rule fails.

    Args:
      config: the pipeline file.
      example_gen: the node that reads the pairs.
      accept_reason: overrules the gate once. The reason is recorded.

    Returns:
      The nodes StatisticsGen, ImportSchemaGen, ExampleValidator, LastAcceptedData and DataGate.
    """
    examples = example_gen.outputs["examples"]
    max_rows = config.validate_.max_statistics_rows
    statistics = PairStatisticsGen(examples=examples, max_rows=max_rows).with_id(node_ids.STATISTICS_GEN)
    schema = ImportSchemaGen(schema_file=config.schema_path)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    last_accepted = Resolver(
        strategy_class=LastAcceptedOtherData,
        **{STATISTICS: statistics.outputs["statistics"], DECISION: types.Channel(type=GateDecision)},
    ).with_id(node_ids.LAST_ACCEPTED)
    gate = DataGate(
        examples=examples,
        statistics=statistics.outputs["statistics"],
        anomalies=validator.outputs["anomalies"],
        last_decision=last_accepted.outputs[DECISION],
        settings=config.validate_,
        accept_reason=accept_reason,
    )
    return statistics, schema, validator, last_accepted, gate


def build_transform(
    config: PipelineConfig, example_gen: PairExampleGen, schema: ImportSchemaGen, gate: DataGate
) -> PairTransform:
    """Builds vocabularies and centers scores. Waits for the gate."""
    transform = PairTransform(
        examples=example_gen.outputs["examples"],
        schema=schema.outputs["schema"],
        custom_config=transform_config(config.encode, config.score, config.data.weighted) | config.feature_columns,
    )
    transform.add_upstream_node(gate)
    return transform.with_id(node_ids.TRANSFORM)
