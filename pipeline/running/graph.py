"""The graph of all nodes. Every runner uses the same graph."""

from __future__ import annotations

from tfx.dsl.compiler import constants
from tfx.dsl.compiler.compiler import Compiler
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from pipeline.beam import profiles
from pipeline.config import PipelineConfig
from pipeline.records import node_ids
from pipeline.records.root import Root
from pipeline.running import data_nodes, release_nodes, training_nodes
from pipeline.running.code_digest import this_program
from pipeline.running.node_code import add_code


def create_pipeline(config: PipelineConfig, root: Root, accept_reason: str | None = None) -> Pipeline:
    """Builds the whole graph of a pipeline file.

    The graph has no connection to ML Metadata. The runner decides where that is.

    Args:
      config: the pipeline file.
      root: where artifacts are written.
      accept_reason: overrules the data gate once. The reason is recorded.
    """
    shared = str(root.artifacts)
    example_gen = data_nodes.build_example_gen(config, root)
    statistics, schema, validator, last_accepted, gate = data_nodes.build_validation(config, example_gen, accept_reason)
    transform = data_nodes.build_transform(config, example_gen, schema, gate)
    base_model = training_nodes.build_base_model(example_gen) if config.train.warm_start else None
    tuner = training_nodes.build_tuner(config, example_gen, transform) if config.tune else None
    model_trainer = training_nodes.build_trainer(config, example_gen, transform, base_model, tuner)
    resolver = release_nodes.build_last_blessed(model_trainer)
    ranking = release_nodes.build_ranking_evaluator(config, example_gen, transform, model_trainer, resolver)
    evaluator = release_nodes.build_evaluator(config, example_gen, transform, model_trainer, resolver, ranking)
    canary = release_nodes.build_canary(config, example_gen, model_trainer, evaluator)
    card = release_nodes.build_card(config, example_gen, statistics, model_trainer, evaluator, tuner)
    replay = release_nodes.build_replay(config, root, model_trainer, canary)
    pusher = release_nodes.build_pusher(config, root, model_trainer, evaluator, replay or canary, card)
    lists = release_nodes.build_lists(config, root, example_gen, model_trainer, pusher)
    if config.beam.profile == "dataflow":
        # Later options win, so these replace those of the pipeline.
        example_gen.with_beam_pipeline_args(profiles.ingest_options(config.beam, shared))
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(root.artifacts),
        components=[
            example_gen, statistics, schema, validator, last_accepted, gate,
            transform, *filter(None, (base_model, tuner)), model_trainer, resolver,
            *filter(None, (ranking,)), evaluator, canary, *filter(None, (replay,)), card, pusher,
            *filter(None, (lists,)),
        ],
        enable_cache=True,
        beam_pipeline_args=profiles.options(config.beam, shared),
    )  # fmt: skip


def compile_graph(graph: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles `graph` to TFX's intermediate representation for one run.

    Args:
      graph: the result of `create_pipeline`.
      run_id: the id of the run in ML Metadata.
    """
    compiled = Compiler().compile(graph)
    run_parameter = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    runtime_parameter_utils.substitute_runtime_parameter(compiled, run_parameter)
    add_code(compiled, this_program())
    for node in compiled.nodes:
        if node.pipeline_node.node_info.id in (node_ids.REPLAY, node_ids.PUSHER, node_ids.BATCH_LISTS):
            # They read their directories themselves (executor.py of replay, pusher and batch_lists).
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    return compiled
