"""Summarizes the results of each node, for the record and in one line for people."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

from components.batch_lists.executor import REUSED_PROPERTY as REUSED_LISTS
from components.batch_lists.executor import VERSION_PROPERTY
from components.batch_lists.folder import read_manifest
from components.data_gate.executor import DECISION_FILE
from components.evaluator.evaluation import Evaluation, read_evaluation
from components.evaluator.figures import MEAN, POPULARITY, find
from components.evaluator.names import is_ranking
from components.pair_example_gen import arrival
from components.pair_example_gen.executor import QUARANTINED_PROPERTY, ROWS_PROPERTY, SPANS_PROPERTY, WEIGHTLESS
from components.pair_example_gen.stages import READ_ROWS
from components.pair_example_gen.suspicious import warning
from components.pair_statistics.executor import SAMPLED_PROPERTY
from components.pusher.executor import AWAITING_PROPERTY, DAMAGED_PROPERTY, PUSHED_PROPERTY, REUSED_PROPERTY
from components.pusher.withdrawals import DESTINATION_PROPERTY
from components.replay.executor import REPORT_FILE as REPLAY_FILE
from components.replay.words import describe as describe_replay
from components.serving_canary.executor import BLESSED_PROPERTY, REPORT_FILE
from kindred import advice
from pipeline.config import PipelineConfig
from pipeline.records import node_ids
from pipeline.records.root import Root
from pipeline.records.run_record import EndState, RunRecord
from pipeline.running import tuning_finding
from pipeline.running.node_runner import NodeResult
from trainer import features
from trainer.data.examples import SPLITS
from trainer.data.transform_graph import TransformGraph
from trainer.entity_features.table import read_accounts
from trainer.epochs import HELD_OUT, HISTORY_FILE, kept_epoch
from trainer.index.facts import read_index
from trainer.search.choice import read_choice
from trainer.training.loading import STREAMING_FILE
from trainer.training.warm_start import WARM_START_FILE

Finding = tuple[EndState, str]


def note(record: RunRecord, config: PipelineConfig, root: Root, node_id: str, result: NodeResult) -> Finding:
    """Adds the results of a node to the record of the run.

    Args:
      record: the record to complete.
      config: the pipeline file.
      root: the root of the run.
      node_id: the node.
      result: its outputs.

    Returns:
      The state of the node and a line for people.
    """
    finder = _FINDERS.get(node_id)
    if finder is None or result.state == "skipped":
        return result.state, ""
    return finder(record, config, root, result)


def _ingest(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    splits = {split: int(result.property("examples", ROWS_PROPERTY.format(split))) for split in SPLITS}
    quarantined = int(result.property("quarantine", QUARANTINED_PROPERTY))
    read = int(result.property("examples", ROWS_PROPERTY.format(READ_ROWS)))
    weightless = int(result.property("examples", ROWS_PROPERTY.format(WEIGHTLESS)) or 0)
    rows, merged = read + quarantined + weightless, read - sum(splits.values())
    record.data.update(rows=rows, quarantined=quarantined, splits=splits)
    arrived = arrival.read(result.uri("examples"))
    if arrived:
        record.data["arrival"] = dataclasses.asdict(arrived)
    if weightless:
        record.data["weightless"] = weightless
    warnings = warning.read(result.uri("examples"))
    if warnings:
        record.data["warnings"] = [dataclasses.asdict(found) for found in warnings]
    counts = ", ".join(f"{count:,} {split}" for split, count in splits.items())
    repeated = f", {merged:,} dropped as duplicates" if merged else ""
    left_out = f", {weightless:,} of weight 0 left out" if weightless else ""
    spans = int(result.property("examples", SPANS_PROPERTY) or 1)
    if spans > 1:
        record.data["spans"] = spans
    of_spans = f" of {spans:,} spans" if spans > 1 else ""
    sources = arrived.describe() if arrived else []
    accounts = read_accounts(result.uri("examples"))
    if accounts:
        record.data["features"] = {side: dataclasses.asdict(account) for side, account in accounts.items()}
        sources += [f"{side} features: {account.describe()}" for side, account in accounts.items()]
    source = f"; {'; '.join(sources)}" if sources else ""
    return result.state, f"{rows:,} rows{of_spans}: {counts}, {quarantined:,} quarantined{repeated}{left_out}{source}"


def _statistics(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    fraction = float(result.property("statistics", SAMPLED_PROPERTY))
    if fraction < 1:
        record.data["statistics_sample"] = fraction
    return result.state, "all rows" if fraction == 1 else f"all ids, and a sample of {fraction:.1%} of the scores"


def _gate(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    decision = json.loads(Path(result.uri("decision"), DECISION_FILE).read_text(encoding="utf-8"))
    record.data["checks"] = decision["checks"]
    record.data["compared_with_last_accepted"] = decision["compared_with_last_accepted"]
    against = "against the last accepted data" if decision["compared_with_last_accepted"] else "no earlier data"
    broken = sum(not check["ok"] for check in decision["checks"])
    if broken:
        record.data["accepted_anomalies"] = decision["accepted_anomalies"]
        return result.state, f"{broken} broken rules accepted: {decision['accepted_anomalies']}"
    return result.state, f"{len(decision['checks'])} rules hold, {against}"


def _vocabularies(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    transform = TransformGraph(result.uri("transform_graph"))
    left, right = (transform.vocabulary_by_name(name) for name in features.vocabulary_names(config.encode.shared))
    record.data.update(left_entities=len(left), right_entities=len(right))
    record.frequent_pair = (os.fsdecode(left[0]), os.fsdecode(right[0]))
    return result.state, f"{len(left):,} left and {len(right):,} right entities"


def _training(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    history = json.loads(Path(result.uri("model_run"), HISTORY_FILE).read_text(encoding="utf-8"))
    trained = record.data["splits"]["train"]
    name = "rmse" if "rmse" in history else "loss"
    choice = read_choice(result.uri("model_run"))
    stopping = config.train.early_stopping
    kept, chooser = kept_epoch(history, stopping.min_delta if stopping and choice is None else 0.0)
    which = f"kept epoch {kept} by {chooser.removeprefix(HELD_OUT)} on held-out rows, " if chooser else ""
    # A trainer of the user's own need not record values.
    line = f"{trained:,} rows"
    if history.get(name):
        line = f"{len(history[name])} epochs of {line}, {which}{name} {history[name][kept - 1]:.4f} on them"
    if choice:
        record.search = choice.to_json()
        line += f"; {choice.describe()}"
    streaming = Path(result.uri("model_run"), STREAMING_FILE)
    if streaming.is_file():
        line += f"; {json.loads(streaming.read_text(encoding='utf-8'))['reason']}"
    index = read_index(result.uri("model_run"))
    if index:
        record.approximate = index.to_json()
        line += f"; {index.describe()}"
    return result.state, f"{line}; {_warm_start(record, root, result)}" if config.train.warm_start else line


def _warm_start(record: RunRecord, root: Root, result: NodeResult) -> str:
    found = json.loads(Path(result.uri("model_run"), WARM_START_FILE).read_text(encoding="utf-8"))
    if found.get("base_model"):
        found["base_model"] = root.place_of(os.path.relpath(found["base_model"], root.path))
    record.warm_start = found
    if "cold" in found:
        return f"cold start: {found['cold']}"
    sides = (
        f"{side} ids {counts['kept']:,} kept, {counts['new']:,} new, {counts['vanished']:,} vanished"
        for side, counts in ((side, found[side]) for side in ("left", "right"))
    )
    return f"warm start: {'; '.join(sides)}"


def _tuning(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    record.tuning, line = tuning_finding.read(result.uri("tuner_results"), config)
    return result.state, line


def _evaluation(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    verdict = read_evaluation(result.uri("evaluation"))
    record.evaluation = os.path.relpath(result.uri("evaluation"), root.path)
    record.metrics = _metrics(config, verdict)
    record.blessed = verdict.blessed
    record.blessing = [rule.to_summary() for rule in verdict.rules]
    if not verdict.blessed:
        record.status = "model_refused"
        record.error = _refusal(verdict, root.runs / record.run_id)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in list(record.metrics.items())[:2])
    rows = record.data["splits"]["eval"]
    default = "; default rules" if config.evaluate.has_default_rules else ""
    return result.state, f"{rows:,} rows, {shown}{default}"


def _metrics(config: PipelineConfig, verdict: Evaluation) -> dict[str, float]:
    """Returns the requested metrics, each followed by its baseline. Metrics without a value are absent."""
    found: dict[str, float | None] = {}
    for metric in config.evaluate.metrics:
        figure = find(verdict.figures, metric)
        baseline = figure.others.get(POPULARITY if is_ranking(metric) else MEAN)
        found |= {metric: figure.value, f"baseline_{metric}": baseline.value if baseline else None}
    return {name: value for name, value in found.items() if value is not None}


def _refusal(verdict: Evaluation, folder: Path) -> str:
    lines = ["the model is not blessed, and was not published:"]
    lines += [f"  {rule}" for rule in verdict.rules if not rule.ok]
    figures, *command = advice.see_evaluation(str(folder))
    return "\n".join([*lines, f"The rules are evaluate.bless. {figures}", *command])


def _canary(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    if not result.property("blessing", BLESSED_PROPERTY):
        return "skipped", "not blessed"
    report = json.loads(Path(result.uri("blessing"), REPORT_FILE).read_text(encoding="utf-8"))
    latency = report["latency_ms"]
    return result.state, f"{len(report['tested'])} checks by {report['binary']}, p99 {latency['p99']:.1f} ms"


def _replay(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    if not result.property("blessing", BLESSED_PROPERTY):
        return "skipped", "not blessed"
    record.replay = json.loads(Path(result.uri("blessing"), REPLAY_FILE).read_text(encoding="utf-8"))
    return result.state, describe_replay(record.replay)


def _publication(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    if waiting := result.property("pushed_model", AWAITING_PROPERTY):
        record.awaiting, record.status = int(waiting), "awaiting_approval"
        return result.state, f"version {waiting} awaits approval"
    if not result.property("pushed_model", PUSHED_PROPERTY):
        return "skipped", "not blessed"
    destination = str(result.property("pushed_model", DESTINATION_PROPERTY))
    record.published = root.name_of(destination)
    record.status = "published"
    reused = bool(result.property("pushed_model", REUSED_PROPERTY))
    damaged = result.property("pushed_model", DAMAGED_PROPERTY)
    detail = f"{record.published}, because {damaged} was missing or changed" if damaged else record.published
    return ("cached" if reused else "executed"), detail


def _lists(record: RunRecord, config: PipelineConfig, root: Root, result: NodeResult) -> Finding:
    version = result.property("lists", VERSION_PROPERTY)
    if not version:
        return "skipped", "nothing is published"
    manifest = read_manifest(Path(result.uri("lists")))
    assert manifest
    place = os.path.relpath(root.lists / str(version), root.path)
    record.lists = {"path": place, "counts": manifest.lists}
    counts = "; ".join(
        f"{name}: {found['queries']:,} lists, {found['rows']:,} rows" for name, found in manifest.lists.items()
    )
    return ("cached" if result.property("lists", REUSED_LISTS) else "executed"), f"{place}; {counts}"


_FINDERS: dict[str, Callable[[RunRecord, PipelineConfig, Root, NodeResult], Finding]] = {
    node_ids.EXAMPLE_GEN: _ingest,
    node_ids.STATISTICS_GEN: _statistics,
    node_ids.GATE: _gate,
    node_ids.TRANSFORM: _vocabularies,
    node_ids.TUNER: _tuning,
    node_ids.TRAINER: _training,
    node_ids.EVALUATOR: _evaluation,
    node_ids.CANARY: _canary,
    node_ids.REPLAY: _replay,
    node_ids.PUSHER: _publication,
    node_ids.BATCH_LISTS: _lists,
}
