"""The compiled graph: nodes, order, dependencies, and the effects of changed settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from google.protobuf import json_format
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from components.evaluator.rules import Rule
from components.evaluator.settings import EvaluationSettings
from components.threads import in_process
from pipeline.beam import profiles
from pipeline.config import SCHEMA, PipelineConfig
from pipeline.records.root import Root
from pipeline.running.graph import compile_graph, create_pipeline
from tests.unit.pipeline.config.pipeline_files import DATAFLOW

pytestmark = pytest.mark.tensorflow

# By layers, alphabetically in each. The schema has no dependencies.
ORDER = [
    "ImportSchemaGen", "PairExampleGen", "StatisticsGen", "ExampleValidator", "LastAcceptedData", "DataGate",
    "Transform", "Trainer", "LatestBlessedModel", "Evaluator", "ModelCard", "ServingCanary", "Pusher",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return Root(tmp_path_factory.mktemp("root"))


def _compile(root: Root, run_id: str = "r1", **sections: Any) -> dict[str, Any]:
    """Returns nodes by id in the order of the graph."""
    tree = {"name": "tiny", "data": {"path": "/data/pairs.csv", **sections.pop("data", {})}, **sections}
    graph = compile_graph(create_pipeline(PipelineConfig.model_validate(tree), root), run_id)
    return {entry.pipeline_node.node_info.id: entry.pipeline_node for entry in graph.nodes}


@pytest.fixture(scope="module")
def nodes(root: Root) -> dict[str, Any]:
    return _compile(root)


def _upstream(nodes: dict[str, Any], node_id: str) -> set[str]:
    """Returns all direct and indirect upstream nodes."""
    direct = set(nodes[node_id].upstream_nodes)
    return direct.union(*(_upstream(nodes, other) for other in direct))


def test_nodes_are_in_order(nodes: dict[str, Any]) -> None:
    assert list(nodes) == ORDER


def test_nodes_follow_their_upstream_nodes(nodes: dict[str, Any]) -> None:
    for node_id, node in nodes.items():
        assert all(list(nodes).index(other) < list(nodes).index(node_id) for other in node.upstream_nodes)


def test_only_ingestion_runs_on_dataflow(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_is_installed", lambda module: True)
    tree = {"name": "tiny", "data": {"path": "gs://bucket/pairs.csv"}, "batch": {}}
    tree["beam"] = {"profile": "dataflow", "dataflow": DATAFLOW}
    graph = compile_graph(create_pipeline(PipelineConfig.model_validate(tree), root), "r1")
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    graph.deployment_config.Unpack(deployment)
    runners = {}
    for node_id, packed in deployment.executor_specs.items():
        beam = executable_spec_pb2.BeamExecutableSpec()
        if packed.Unpack(beam):
            runners[node_id] = PipelineOptions(list(beam.beam_pipeline_args)).view_as(StandardOptions).runner
            assert in_process(list(beam.beam_pipeline_args)) == (node_id != "PairExampleGen")
    assert runners.pop("PairExampleGen") == "pipeline.beam.dataflow.DataflowRunner"
    assert set(runners) >= {"Transform", "BatchLists"}
    assert set(runners.values()) == {"FnApiRunner"}


def test_lists_follow_the_pusher_if_wanted(root: Root, nodes: dict[str, Any]) -> None:
    wanted = _compile(root, batch={})
    assert list(wanted) == [*ORDER, "BatchLists"]
    assert set(wanted["BatchLists"].upstream_nodes) == {"PairExampleGen", "Trainer", "Pusher"}
    assert not wanted["BatchLists"].execution_options.caching_options.enable_cache, "it reads its folder itself"
    parameters = wanted["BatchLists"].parameters.parameters
    assert parameters["directory"].field_value.string_value == str(root.path / "lists")
    assert parameters["code"].field_value.string_value


def test_replay_is_between_the_canary_and_the_pusher(root: Root) -> None:
    wanted = _compile(root, publish={"replay": "/logs/tiny"})
    assert [node_id for node_id in wanted if node_id not in ORDER] == ["ReplayCheck"]
    assert set(wanted["ReplayCheck"].upstream_nodes) == {"Trainer", "ServingCanary"}
    blessing = wanted["Pusher"].inputs.inputs["infra_blessing"].channels[0]
    assert blessing.producer_node_query.id == "ReplayCheck"
    assert wanted["ServingCanary"].execution_options.caching_options.enable_cache
    assert not wanted["ReplayCheck"].execution_options.caching_options.enable_cache, (
        "the log and the destination change"
    )


def test_transform_waits_for_gate(nodes: dict[str, Any]) -> None:
    assert "DataGate" in nodes["Transform"].upstream_nodes
    assert _upstream(nodes, "DataGate") == set(ORDER[:5])
    for node_id in ORDER[7:]:
        assert "DataGate" in _upstream(nodes, node_id)


def test_pusher_needs_blessings(nodes: dict[str, Any]) -> None:
    assert set(nodes["Pusher"].upstream_nodes) == {"Trainer", "Evaluator", "ServingCanary", "ModelCard"}
    assert set(nodes["ServingCanary"].upstream_nodes) == {"PairExampleGen", "Trainer", "Evaluator"}
    assert set(nodes["Evaluator"].upstream_nodes) == {
        "PairExampleGen",
        "Transform",
        "Trainer",
        "LatestBlessedModel",
    }
    inputs = nodes["Pusher"].inputs.inputs
    assert {key: inputs[key].channels[0].producer_node_query.id for key in inputs} == {
        "model": "Trainer",
        "model_blessing": "Evaluator",
        "infra_blessing": "ServingCanary",
        "card": "ModelCard",
    }


def test_only_pusher_is_never_cached(nodes: dict[str, Any]) -> None:
    cached = {node_id: node.execution_options.caching_options.enable_cache for node_id, node in nodes.items()}
    assert [node_id for node_id, on in cached.items() if not on] == ["Pusher"]


def test_warm_start_adds_base_model(root: Root) -> None:
    nodes = _compile(root, train={"warm_start": True})
    assert [node_id for node_id in nodes if node_id not in ORDER] == ["BaseModel"]
    assert _upstream(nodes, "BaseModel") == {"PairExampleGen"}
    base = nodes["Trainer"].inputs.inputs["base_model"].channels[0]
    assert (base.producer_node_query.id, base.output_key) == ("BaseModel", "model")
    assert nodes["Trainer"].inputs.inputs["base_model"].min_count == 0  # the base model is optional


def test_tuner_is_between_transform_and_trainer(root: Root) -> None:
    nodes = _compile(root, tune={"trials": 3})
    assert [node_id for node_id in nodes if node_id not in ORDER] == ["Tuner"]
    assert {"Transform", "PairExampleGen"} == set(nodes["Tuner"].upstream_nodes)
    best = nodes["Trainer"].inputs.inputs["hyperparameters"].channels[0]
    assert (best.producer_node_query.id, best.output_key) == ("Tuner", "best_hyperparameters")
    assert "DataGate" in _upstream(nodes, "Tuner")


def _properties(node: Any) -> dict[str, Any]:
    """Returns the properties of a node, which its cache key includes."""
    return json_format.MessageToDict(node.parameters)


def _changed(root: Root, **sections: Any) -> set[str]:
    before, after = _compile(root), _compile(root, **sections)
    assert list(before) == list(after)
    return {node_id for node_id in before if _properties(before[node_id]) != _properties(after[node_id])}


@pytest.mark.parametrize(
    ("sections", "changed"),
    [
        ({}, set()),
        ({"train": {"learning_rate": 0.2}}, {"Trainer"}),
        ({"train": {"early_stopping": None}}, {"Trainer"}),
        ({"model": {"dimension": 8}}, {"Trainer"}),
        ({"score": {"center": "none"}}, {"Transform"}),
        ({"encode": {"min_count": 2}}, {"Transform", "Trainer"}),
        ({"evaluate": {"bless": [{"metric": "rmse", "below": 1}]}}, {"Evaluator"}),
        ({"evaluate": {"metrics": ["mae"]}}, set()),
        ({"publish": {"keep": 2}}, {"Pusher"}),
        ({"publish": {"canary": {"rows": 5}}}, {"ServingCanary"}),
        ({"publish": {"to": "elsewhere"}}, {"Pusher"}),
        ({"evaluate": {"slices": ["known"]}}, {"Evaluator"}),
        ({"data": {"split": {"by": "left"}}}, {"PairExampleGen"}),
        ({"data": {"path": "/data/others.csv"}}, {"PairExampleGen"}),
    ],
    # The text of a set has another order in each process.
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_setting_changes_only_its_node(root: Root, sections: dict, changed: set[str]) -> None:
    told_on_the_card = {"data", "encode", "score", "model", "train"} & sections.keys()
    assert _changed(root, **sections) == changed | ({"ModelCard"} if told_on_the_card else set())


def test_schema_changes_schema_and_ingest(root: Root, tmp_path: Path) -> None:
    stars = tmp_path / "stars.pbtxt"
    stars.write_text(SCHEMA.read_text())
    assert _changed(root, schema=str(stars)) == {"ImportSchemaGen"}
    stars.write_text(SCHEMA.read_text().replace("float_domain {", "float_domain { min: 1 max: 5 ", 1))
    assert _changed(root, schema=str(stars)) == {"ImportSchemaGen", "PairExampleGen"}


def test_run_id_changes_no_properties(root: Root) -> None:
    first, second = _compile(root, "run-1"), _compile(root, "run-2")
    for node_id in ORDER:
        assert _properties(first[node_id]) == _properties(second[node_id])
        assert "run-1" in str(first[node_id].contexts) and "run-2" in str(second[node_id].contexts)
        assert "pipeline-run-id" not in str(first[node_id].contexts)


def test_publish_directory_is_configured(root: Root) -> None:
    told = _compile(root, publish={"to": "models/live", "keep": 3})["Pusher"].parameters.parameters
    assert str(root.path / "models" / "live") in told["push_destination"].field_value.string_value
    assert told["keep"].field_value.int_value == 3


def test_rules_reach_evaluator_unchanged(root: Root) -> None:
    bless = (
        Rule(metric="rmse", below=0.0),
        Rule(metric="mae", better_than="baseline", margin=0.5),
        Rule(metric="rmse", better_than="last_blessed"),
    )
    parameters = _compile(root, evaluate={"bless": bless})["Evaluator"].parameters.parameters
    settings = EvaluationSettings.model_validate_json(parameters["settings"].field_value.string_value)
    assert [(r.metric, r.below, r.above, r.better_than, r.margin) for r in settings.rules] == [
        ("rmse", 0.0, None, None, None),
        ("mae", None, None, "baseline", 0.5),
        ("rmse", None, None, "last_blessed", None),
    ]


def test_ranking_evaluator_precedes_evaluator(root: Root) -> None:
    positives = {"columns": {"left": "u", "right": "f"}}
    nodes = _compile(root, data=positives)
    assert list(nodes) == [*ORDER[:-4], "RankingEvaluator", *ORDER[-4:]]
    assert "RankingEvaluator" in nodes["Evaluator"].upstream_nodes
    assert "DataGate" in _upstream(nodes, "RankingEvaluator")
    scored = _compile(root, evaluate={"metrics": ["rmse", "recall@5"]})
    assert "RankingEvaluator" in scored
    told = json_format.MessageToDict(scored["RankingEvaluator"].parameters)
    assert "recall@5" in str(told) and "rmse" not in str(told)


def test_changed_candidates_change_evaluation(root: Root, tmp_path: Path) -> None:
    file = tmp_path / "negatives.csv"
    file.write_text("left_id,right_id\na,b\n")
    evaluate = {"candidates": str(file), "metrics": ["sampled_mrr"]}
    first = _properties(_compile(root, evaluate=evaluate)["RankingEvaluator"])
    assert _properties(_compile(root, evaluate=evaluate)["RankingEvaluator"]) == first
    file.write_text("left_id,right_id\na,bc\n")
    assert _properties(_compile(root, evaluate=evaluate)["RankingEvaluator"]) != first
