"""Rules that involve several sections. Each raises ValueError with the keys of the fault."""

from __future__ import annotations

from collections.abc import Callable

from components.evaluator.names import COLD, is_approximate, is_ranking
from components.evaluator.settings import EvaluateSettings
from components.pair_example_gen.settings import ColumnSettings, DataSettings
from pipeline.config.sections.beam import Beam
from storage.settings import StorageSettings
from trainer.settings import (
    KEYS_OF,
    OF_LABELS,
    SEARCHABLE,
    SOLVED_BY,
    WHOLE_DATA,
    Approximate,
    EncodeSettings,
    ModelSettings,
    ScoreSettings,
    TrainSettings,
)


def refuse_all(*rules: Callable[[], None]) -> None:
    """Applies rules.

    Raises:
      ValueError: some are broken. The message has a line for each.
    """
    broken = list(filter(None, map(_fault, rules)))
    if broken:
        raise ValueError("\n".join(broken))


def _fault(rule: Callable[[], None]) -> str:
    try:
        rule()
    except ValueError as error:
        return str(error)
    return ""


def own_trainer(data: DataSettings, train: TrainSettings, tunes: bool) -> None:
    """Checks that a trainer of the user's own is not combined with a search, or with features of entities."""
    if train.module_file is None:
        return
    if tunes:
        raise ValueError("tune: has no effect with train.module_file, because the file decides how to train. Omit it")
    for side in data.features:
        raise ValueError(f"data.{side}_features: has no effect with train.module_file. Omit one of them")


def what_solvers_can(encode: EncodeSettings, model: ModelSettings, train: TrainSettings) -> None:
    """Checks that the solver of the objective supports the optimizer and the other settings."""
    objective, als = model.objective, train.optimizer == "als"
    solver = SOLVED_BY.get(objective)
    if solver and train.optimizer != solver:
        raise ValueError(
            f"train.optimizer: {solver} with model.objective {objective}, which has its own solver (got "
            f"{train.optimizer!r})"
        )
    if als and not solver and objective not in OF_LABELS:
        solved = ", ".join(name for name, optimizer in SOLVED_BY.items() if optimizer == "als")
        raise ValueError(
            f"train.optimizer: als solves {', '.join(OF_LABELS)}, {solved}, not {objective}. Use adagrad or adam"
        )
    if als or solver:
        _single_rows(encode, model, train)


def _single_rows(encode: EncodeSettings, model: ModelSettings, train: TrainSettings) -> None:
    objective, of_positives = model.objective, model.objective in SOLVED_BY
    copies = train.als.copies
    if objective in OF_LABELS and copies > model.dimension:
        raise ValueError(f"train.als.copies: at most model.dimension, which they share (got {copies})")
    solver = f"model.objective {objective}" if objective == "lightgcn" else "train.optimizer als"
    hashes = encode.oov_hashes
    if hashes > 1:
        instead = " with model.objective cosine, softmax, pairwise or logistic" if of_positives else ""
        raise ValueError(
            f"encode.oov_hashes: 1 with {solver}, which solves for single rows and not for means of rows (got "
            f"{hashes}). Omit the key, or use adagrad, adam or sgd{instead}"
        )
    for key, wrong, why in (
        ("encode.shared", encode.shared, "it needs two sides with different tables"),
        ("model.normalize", model.normalize and objective != "lightgcn", "its solution determines the lengths of rows"),
        ("train.devices", train.devices != "one", "it runs on one machine's cores"),
    ):
        if wrong:
            raise ValueError(f"{key}: not with {solver}: {why}")


def inputs_of_dataflow(data: DataSettings, storage: StorageSettings, beam: Beam) -> None:
    """Checks that workers of Dataflow can read the pairs, which they do with the clients of Google's store."""
    if beam.profile != "dataflow":
        return
    if not data.path.startswith("gs://"):
        raise ValueError(
            f"data.path: with beam.profile dataflow, a URL that begins with gs://, which its workers read (got "
            f"{data.path!r}). Copy the files there, or use beam.profile local"
        )
    if storage.endpoint is not None:
        raise ValueError(
            "storage.endpoint: not with beam.profile dataflow, whose workers use Google's own store. Omit the key"
        )


def features_of_two_tables(data: DataSettings, encode: EncodeSettings) -> None:
    """Checks that the sides with features have tables of their own."""
    if encode.shared and data.features:
        raise ValueError(
            f"data.{next(iter(data.features))}_features: not with encode.shared, because an entity of a shared table "
            "has no side. Omit one of them"
        )


def cold_metrics(data: DataSettings, evaluate: EvaluateSettings) -> None:
    """Checks that something is known about entities without pairs if a metric ranks them."""
    cold = [metric for metric in evaluate.all_metrics if metric.startswith(COLD)]
    if cold and data.right_features is None:
        raise ValueError(
            f"evaluate: {cold[0]} ranks right entities without pairs, which only features can describe. Add "
            f"data.right_features, or use {cold[0].removeprefix(COLD)}"
        )


def objective_of_labels(
    columns: ColumnSettings, score: ScoreSettings, model: ModelSettings, train: TrainSettings
) -> None:
    """Checks that the objective fits the data: some objectives need scores, others treat every pair as a positive."""
    objective, scored = model.objective, columns.score is not None
    if not scored and objective == "regression":
        raise ValueError(
            "model.objective: regression needs data.columns.score, numbers to come close to: name the column, or "
            "use ials, spectral, blend, lightgcn, cosine, softmax, pairwise or logistic, which tell the pairs there "
            "are from those there are not"
        )
    if not scored and objective == "logistic" and train.optimizer == "als":
        raise ValueError(
            "train.optimizer: als solves logistic for pairs with scores of both signs, not for positives and sampled "
            "negatives. Name data.columns.score, or use adagrad or adam, or model.objective ials, spectral or blend"
        )
    if scored and objective in ("cosine", "softmax", "pairwise", *WHOLE_DATA):
        raise ValueError(
            f"model.objective: {objective} takes every pair for a positive, whatever its score: leave "
            "data.columns.score out (confidences go to data.columns.weight), or use regression or logistic"
        )
    if not scored and score != ScoreSettings(center="none", scale="none"):
        raise ValueError("score: has no effect without data.columns.score. Omit the section")


def searched_settings(
    columns: ColumnSettings, encode: EncodeSettings, model: ModelSettings, train: TrainSettings
) -> None:
    """Checks that the search can choose each of `train.search.settings`."""
    search, scored = train.search, columns.score is not None
    if not search.active:
        return
    kinds = ("without data.columns.score", "with data.columns.score")
    fixed = "model.objective" not in search.settings
    for key in search.settings:
        if key not in SEARCHABLE[scored]:
            known = ", ".join(SEARCHABLE[scored])
            raise ValueError(
                f"train.search.settings: {key} is not searched {kinds[scored]}. Omit it. Choose from {known}"
            )
        owner = next((name for name, keys in KEYS_OF.items() if key in keys), model.objective)
        if fixed and not scored and model.objective not in (owner, "blend"):
            raise ValueError(
                f"train.search.settings: {key} has no effect with model.objective {model.objective}. Omit it, or "
                "search model.objective too"
            )
    solved = OF_LABELS if scored else WHOLE_DATA
    free = scored and "train.optimizer" in search.settings
    for key, wrong, value in (
        ("encode.shared", encode.shared, encode.shared),
        ("encode.oov_hashes", encode.oov_hashes > 1, encode.oov_hashes),
        ("model.objective", model.objective not in solved, model.objective),
        ("train.optimizer", train.optimizer != "als" and not free, train.optimizer),
        ("train.warm_start", train.warm_start, train.warm_start),
        ("model.normalize", model.normalize, model.normalize),
        ("train.devices", train.devices != "one", train.devices),
    ):
        if wrong:
            raise ValueError(
                f"train.search.settings: the search tries least squares, which {key} {value} rules out. Omit "
                "train.search.settings, or change that key"
            )


def approximate_metrics(evaluate: EvaluateSettings, approximate: Approximate) -> None:
    """Checks that a metric of approximate rankings is measured only if a model can have them."""
    measured = [metric for metric in evaluate.all_metrics if is_approximate(metric)]
    if measured and approximate is False:
        raise ValueError(
            f"evaluate: {measured[0]} needs publish.approximate auto or true. With false, no model has approximate "
            "rankings"
        )


def metrics_of_labels(columns: ColumnSettings, evaluate: EvaluateSettings) -> None:
    """Checks that metrics and rules without scores are ranking metrics."""
    of_scores = [metric for metric in evaluate.all_metrics if not is_ranking(metric)]
    if of_scores and columns.score is None:
        raise ValueError(
            f"evaluate: {of_scores[0]} needs data.columns.score. Without scores, use recall@10, ndcg@10, ..."
        )
