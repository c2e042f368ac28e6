"""One frozen, validated model of a pipeline file; parsed once, read everywhere.

config = load_config(Path("examples/word_pairs/pipeline.yaml"), overrides=["train.epochs=5"])
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from components.evaluator.names import SAMPLED, check_metric, check_slice, is_ranking
from components.evaluator.slices import SLICES
from components.pair_example_gen.files import is_remote
from components.pair_example_gen.source import Layout, Settings
from pipeline import yaml_file
from pipeline.beam import Beam, with_profile
from pipeline.errors import ConfigError
from pipeline.kubeflow.settings import Kubeflow
from pipeline.tuning import Tune

# The curated schemas: of pairs with a score, and of pairs that are positives.
SCHEMA, SCHEMA_OF_POSITIVES = (
    Path(__file__).parent.parent / "schemas" / name for name in ("pairs.pbtxt", "positives.pbtxt")
)

PositiveInt = Annotated[StrictInt, Field(gt=0)]
NonNegativeInt = Annotated[StrictInt, Field(ge=0)]


def _number(value: Any) -> Any:
    """Refuses what pydantic would take for a number although nobody meant one."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


Number = Annotated[float, pydantic.BeforeValidator(_number), Field(allow_inf_nan=False)]
Column = StrictStr | NonNegativeInt


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Columns(_Section):
    """Which columns hold a pair: names, or numbers from 0 where the file has no header.

    Without a `score` every pair is a positive. `weight` and `time` say how much a row counts, and when it was observed.
    """

    left: Column
    right: Column
    score: Column | None = None
    weight: Column | None = None
    time: Column | None = None

    @pydantic.model_validator(mode="after")
    def _one_kind_and_distinct(self) -> Columns:
        columns = [c for c in (self.left, self.right, self.score, self.weight, self.time) if c is not None]
        if len({type(column) for column in columns}) > 1:
            raise ValueError("columns must be all names (the file has a header) or all numbers (it has none)")
        if len(set(columns)) < len(columns):
            raise ValueError("left, right, score, weight and time must be different columns")
        return self

    @property
    def has_header(self) -> bool:
        """Whether the first line of each file names its columns."""
        return isinstance(self.left, str)


class Split(_Section):
    """Which pairs are kept for evaluation: by a hash of the pair, or of the left entity; or the newest ones."""

    by: Literal["pair", "left", "time"] = "pair"
    eval_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1


class Data(_Section):
    """Where the pairs are and how to read them."""

    path: Annotated[StrictStr, Field(min_length=1)]
    format: Literal["auto", "csv", "tsv", "parquet", "tfrecord"] = "auto"
    quoting: Literal["auto", "double", "none"] = "auto"
    columns: Columns = Columns(left="left_id", right="right_id", score="score")
    split: Split = Split()
    duplicates: Literal["keep", "last", "mean", "refuse"] = "keep"
    max_id_bytes: PositiveInt = 1024
    max_quarantined_fraction: Annotated[Number, Field(ge=0, le=1)] = 0.01

    @pydantic.model_validator(mode="after")
    def _time_to_split_by(self) -> Data:
        if self.split.by == "time" and self.columns.time is None:
            raise ValueError("split.by: time needs columns.time, the column of timestamps")
        if self.duplicates == "mean" and self.columns.score is None:
            raise ValueError("duplicates: mean needs columns.score, to take the mean of; use keep, last or refuse")
        return self


Share = Annotated[Number, Field(ge=0, le=1)]


class Validate(_Section):
    """What the gate lets pass; null switches a bound off. The last three compare with the last accepted data."""

    min_rows: PositiveInt = 10
    min_entities: PositiveInt = 2
    max_entity_share: Share | None = 0.9
    max_score_skew: Share | None = 0.2
    max_unseen_share: Share | None = 0.5
    max_entity_distance: Share | None = 0.2
    max_score_divergence: Share | None = 0.2
    max_statistics_rows: PositiveInt = 20_000_000


class Encode(_Section):
    """How ids become rows of an embedding table."""

    min_count: PositiveInt = 1
    max_vocabulary: PositiveInt | None = None
    oov_buckets: PositiveInt = 1
    oov_hashes: PositiveInt = 1
    shared: StrictBool = False

    @pydantic.model_validator(mode="after")
    def _hashes_that_differ(self) -> Encode:
        if self.oov_hashes > self.oov_buckets:
            raise ValueError(
                f"oov_hashes: at most oov_buckets, the rows they choose from (got {self.oov_hashes} with "
                f"{self.oov_buckets}); raise oov_buckets, best to about the number of ids out of the vocabulary"
            )
        return self


class Score(_Section):
    """How raw scores become signed labels: (score - center) / scale."""

    center: Literal["mean", "midpoint", "none"] = "mean"
    scale: Literal["std", "none"] = "none"


class Negatives(_Section):
    """Which pairs stand for negatives where the data hold positives only."""

    count: PositiveInt = 4
    sampling: Literal["uniform", "popularity"] = "uniform"


class Model(_Section):
    """The shape of the model and what it minimises."""

    dimension: PositiveInt = 64
    bias: StrictBool = True
    objective: Literal["regression", "logistic", "softmax", "pairwise", "ials"] = "regression"
    regularization: Annotated[Number, Field(ge=0)] = 0.02
    initial_scale: Annotated[Number, Field(gt=0)] = 0.1
    normalize: StrictBool = False
    temperature: Annotated[Number, Field(gt=0)] = 1.0
    negatives: Negatives = Negatives()
    unobserved_weight: Annotated[Number, Field(gt=0)] = 0.1

    @pydantic.model_validator(mode="after")
    def _temperature_of_logits(self) -> Model:
        if self.temperature != 1 and self.objective not in ("logistic", "softmax", "pairwise"):
            raise ValueError(f"temperature goes with logistic, softmax and pairwise, not with {self.objective}")
        return self


class EarlyStopping(_Section):
    """No better loss for `patience` epochs on rows held out of the train split ends training."""

    validation_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    patience: PositiveInt = 2
    min_delta: Annotated[Number, Field(ge=0)] = 0.0


class Als(_Section):
    """How least squares is solved; `copies` and `ridge` for scored pairs, `frequency_exponent` for positives."""

    copies: PositiveInt = 1
    ridge: Annotated[Number, Field(gt=0)] | None = None
    frequency_exponent: Annotated[Number, Field(ge=0, le=2)] = 1.0


class Train(_Section):
    """How the model is fitted."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 8192
    optimizer: Literal["adagrad", "adam", "sgd", "als"] = "adagrad"
    learning_rate: Annotated[Number, Field(gt=0)] = 0.1
    early_stopping: EarlyStopping | None = EarlyStopping()
    # NumPy's generator, which Keras seeds too, takes 32 bits.
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 1
    data_memory_mb: PositiveInt = 2048
    devices: Literal["one", "all", "workers"] = "one"
    als: Als = Als()
    warm_start: StrictBool = False


Metric = Annotated[StrictStr, AfterValidator(check_metric)]


class BlessingRule(_Section):
    """One condition that a model must meet to be published."""

    metric: Metric
    slice: Literal[SLICES] | None = None  # type: ignore[valid-type]
    below: Number | None = None
    above: Number | None = None
    better_than: Literal["baseline", "biases", "popularity", "last_blessed"] | None = None
    margin: Number | None = None

    @pydantic.model_validator(mode="after")
    def _one_bound(self) -> BlessingRule:
        bounds = [self.below is not None, self.above is not None, self.better_than is not None]
        if sum(bounds) != 1:
            raise ValueError("a rule has exactly one of below, above, better_than")
        if self.margin is not None and self.better_than is None:
            raise ValueError("margin goes with better_than only")
        return self

    @pydantic.model_validator(mode="after")
    def _measured(self) -> BlessingRule:
        if self.slice is not None:
            check_slice(self.metric, self.slice)
        if self.metric.startswith("coverage"):
            raise ValueError("coverage is reported, and no rule can use it: it has no interval")
        if self.better_than == ("biases" if is_ranking(self.metric) else "popularity"):
            raise ValueError(f"better_than: {self.better_than} is no baseline of {self.metric}")
        return self

    def __str__(self) -> str:
        what = f"{self.metric} on {self.slice}" if self.slice else self.metric
        if self.better_than is None:
            return f"{what} below {self.below:g}" if self.below is not None else f"{what} above {self.above:g}"
        margin = f" by {self.margin:g}" if self.margin else ""
        return f"{what} better than {self.better_than}{margin}"


def _distinct(rules: tuple[BlessingRule, ...]) -> tuple[BlessingRule, ...]:
    kinds = [(r.metric, r.slice, r.better_than or ("below" if r.below is not None else "above")) for r in rules]
    if len(set(kinds)) < len(kinds):
        raise ValueError("the same metric has the same kind of bound twice; keep the stricter rule")
    if not rules:
        raise ValueError("at least one rule is needed: a model is never published unproven")
    return rules


def default_rules(metric: str) -> tuple[BlessingRule, ...]:
    """What a model must reach where the file has no rules: beat the baseline, and be no worse than the last blessed."""
    return tuple(BlessingRule(metric=metric, better_than=other) for other in ("baseline", "last_blessed"))


class Evaluate(_Section):
    """What is measured on the eval split, and what a model must reach."""

    metrics: tuple[Metric, ...] = ("rmse", "mae", "auc", "sign_accuracy", "spearman", "calibration")
    bless: Annotated[tuple[BlessingRule, ...], AfterValidator(_distinct)] = default_rules("rmse")
    slices: tuple[Literal[SLICES], ...] = SLICES  # type: ignore[valid-type]
    candidates: StrictStr | None = None

    @property
    def has_default_rules(self) -> bool:
        """Whether the rules are a default set."""
        return self.bless in map(default_rules, ("rmse", "auc", "ndcg@10"))

    @property
    def measured_slices(self) -> tuple[str, ...]:
        """Those that are reported, and those of the rules."""
        return tuple(dict.fromkeys([*self.slices, *(rule.slice for rule in self.bless if rule.slice)]))

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """Those that are reported, and those of the rules."""
        return tuple(dict.fromkeys([*self.metrics, *(rule.metric for rule in self.bless)]))

    @pydantic.model_validator(mode="after")
    def _candidates_to_sample(self) -> Evaluate:
        sampled = [metric for metric in self.all_metrics if metric.startswith(SAMPLED)]
        if sampled and self.candidates is None:
            raise ValueError(f"{sampled[0]} needs evaluate.candidates, a file of the pairs to rank")
        return self


_POSITIVES = {
    "score": {"center": "none", "scale": "none"},
    "model": {"objective": "ials"},
    "evaluate": {
        "metrics": ["recall@10", "ndcg@10", "hit_rate@10", "mrr@10", "map@10", "coverage@10"],
        "bless": [rule.model_dump() for rule in default_rules("ndcg@10")],
    },
}
_LOGISTIC = {"evaluate": {"bless": [rule.model_dump() for rule in default_rules("auc")]}}


class Canary(_Section):
    """What a candidate is asked while it is served, before it is published; it cannot be switched off."""

    rows: PositiveInt = 64
    max_p99_ms: Annotated[Number, Field(gt=0)] | None = None
    start_seconds: Annotated[Number, Field(gt=0)] = 120.0


class Publish(_Section):
    """Where blessed models go, relative to ROOT or a gs:// URL, and how many versions are kept there."""

    to: Annotated[StrictStr, Field(min_length=1)] = "serving"
    keep: PositiveInt = 5
    canary: Canary = Canary()


class PipelineConfig(_Section):
    """A pipeline file. Pydantic keeps the names `schema` and `validate` for itself: they are aliases here."""

    name: Annotated[StrictStr, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    data: Data
    schema_path: Annotated[StrictStr, Field(alias="schema")] = str(SCHEMA)
    validate_: Annotated[Validate, Field(alias="validate")] = Validate()
    encode: Encode = Encode()
    score: Score = Score()
    model: Model = Model()
    train: Train = Train()
    tune: Tune | None = None
    evaluate: Evaluate = Evaluate()
    publish: Publish = Publish()
    beam: Beam = Beam()
    kubeflow: Kubeflow = Kubeflow()

    @pydantic.model_validator(mode="after")
    def _what_least_squares_can(self) -> PipelineConfig:
        objective, als = self.model.objective, self.train.optimizer == "als"
        if objective == "ials" and not als:
            raise ValueError(f"train.optimizer: model.objective ials is solved by als (got {self.train.optimizer!r})")
        if not als:
            return self
        if objective not in ("regression", "ials"):
            raise ValueError(f"train.optimizer: als solves regression and ials, not {objective}; use adagrad or adam")
        copies = self.train.als.copies
        if copies > 1 and objective == "ials":
            raise ValueError(f"train.als.copies: for model.objective regression only (got {copies} with ials)")
        if copies > self.model.dimension:
            raise ValueError(f"train.als.copies: at most model.dimension, which they share (got {copies})")
        hashes = self.encode.oov_hashes
        if hashes > 1:
            instead = " with model.objective softmax, pairwise or logistic" if objective == "ials" else ""
            raise ValueError(
                f"encode.oov_hashes: 1 with train.optimizer als, which solves for single rows and not for means of "
                f"rows (got {hashes}); leave it out, or use adagrad, adam or sgd{instead}"
            )
        for key, wrong, why in (
            ("encode.shared", self.encode.shared, "it holds one side's table fixed to solve for the other's"),
            ("model.normalize", self.model.normalize, "its rows have the length that the least squares give them"),
            ("train.devices", self.train.devices != "one", "it runs on one machine's cores"),
        ):
            if wrong:
                raise ValueError(f"{key}: not with train.optimizer als: {why}")
        return self

    @pydantic.model_validator(mode="after")
    def _tuned_values_are_possible(self) -> PipelineConfig:
        if self.tune:
            self.tune.check(self.model, self.train)
        return self

    @pydantic.model_validator(mode="before")
    @classmethod
    def _defaults_by_labels(cls, tree: Any) -> Any:
        """Defaults depend on whether pairs have a score, and whether its size or its sign is learned."""
        columns = _get(_get(tree, "data"), "columns")
        defaults: dict[str, Any] = {}
        if columns is not None and _get(columns, "score") is None:
            defaults, tree = _POSITIVES, {"schema": str(SCHEMA_OF_POSITIVES)} | tree
        elif _get(_get(tree, "model"), "objective") == "logistic":
            defaults = _LOGISTIC
        objective = _get(_get(tree, "model"), "objective") or defaults.get("model", {}).get("objective")
        if objective == "ials":
            defaults = defaults | {"train": {"optimizer": "als"}}
        held = {key: tree.get(key, {}) for key in defaults}
        return tree | {key: defaults[key] | value for key, value in held.items() if isinstance(value, dict)}

    @pydantic.model_validator(mode="after")
    def _objective_of_labels(self) -> PipelineConfig:
        objective, scored = self.model.objective, self.data.columns.score is not None
        if not scored and objective == "regression":
            raise ValueError(
                "model.objective: regression needs data.columns.score, numbers to come close to: name the column, or "
                "use ials, softmax, pairwise or logistic, which tell the pairs there are from those there are not"
            )
        if scored and objective in ("softmax", "pairwise", "ials"):
            raise ValueError(
                f"model.objective: {objective} takes every pair for a positive, whatever its score: leave "
                "data.columns.score out (confidences go to data.columns.weight), or use regression or logistic"
            )
        if not scored and self.score != Score(center="none", scale="none"):
            raise ValueError("score: without data.columns.score there is nothing to center or scale; leave it out")
        return self

    @pydantic.model_validator(mode="after")
    def _metrics_of_labels(self) -> PipelineConfig:
        of_scores = [metric for metric in self.evaluate.all_metrics if not is_ranking(metric)]
        if of_scores and self.data.columns.score is None:
            raise ValueError(
                f"evaluate: {of_scores[0]} needs data.columns.score; without it, use recall@10, ndcg@10, ..."
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """The configuration as a pipeline file would hold it, every default filled in."""
        return self.model_dump(mode="json", by_alias=True)


def _get(section: Any, key: str) -> Any:
    """`key` of a section that may be a mapping, a model, or something that will be refused."""
    return section.get(key) if isinstance(section, dict) else getattr(section, key, None)


def ingest_settings(config: PipelineConfig, score_domain: tuple[float | None, float | None] = (None, None)) -> Settings:
    """Section `data` as PairExampleGen takes it, with the least and the greatest score that the schema allows."""
    columns = config.data.columns
    layout = Layout(config.data.format, **columns.model_dump(), quoting=config.data.quoting)
    return Settings(
        layout=layout,
        split_by=config.data.split.by,
        eval_fraction=config.data.split.eval_fraction,
        max_quarantined_fraction=config.data.max_quarantined_fraction,
        duplicates=config.data.duplicates,
        max_id_bytes=config.data.max_id_bytes,
        score_min=score_domain[0],
        score_max=score_domain[1],
    )


def candidates_layout(config: PipelineConfig) -> Layout:
    """How the file `evaluate.candidates` is read: its columns are called as those of the pairs."""
    columns = config.data.columns
    return Layout("auto", columns.left, columns.right, quoting=config.data.quoting)


def load_config(
    path: Path, overrides: Sequence[str] = (), data_path: str | None = None, beam_profile: str | None = None
) -> PipelineConfig:
    """Reads and validates a pipeline file.

    Args:
      path: the YAML file; relative paths in it are relative to its folder.
      overrides: `a.b=value` each, applied on top of the file; the value is read as YAML.
      data_path: replaces `data.path`; relative to the working directory, as a shell user means it.
      beam_profile: replaces `beam.profile`.

    Raises:
      ConfigError: the file cannot be read, is not YAML, or breaks a rule; every fault is listed with its key, the rule
        and the value received.
    """
    tree = _read(path)
    for override in overrides:
        _apply(tree, override)
    _resolve_paths(tree, path.parent, data_path)
    config = _validate(tree, str(path))
    return config.model_copy(update={"beam": with_profile(config.beam, beam_profile)})


def build_config(tree: dict[str, Any], overrides: Sequence[str], source: str) -> PipelineConfig:
    """The configuration that `tree` holds, as `PipelineConfig.to_json` gave it, with overrides as in `load_config`.

    Raises:
      ConfigError: an override breaks a rule; `source` names the configuration.
    """
    tree = copy.deepcopy(tree)
    for override in overrides:
        _apply(tree, override)
    return _validate(tree, source)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such pipeline file; give an existing one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the pipeline file cannot be read: {error}") from None
    tree = yaml_file.parse(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: a pipeline file is a mapping with at least `name` and `data.path`")
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    """Puts one `a.b=value` into the tree."""
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override!r}: must have the form section.key=value, such as train.epochs=5")
    for part in parts[:-1]:
        if tree.get(part) is None:
            tree[part] = {}
        tree = tree[part]
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is not a section")
    tree[parts[-1]] = yaml_file.parse(text, f"--set {override!r}")


def _resolve_paths(tree: dict[str, Any], base: Path, data_path: str | None) -> None:
    """Makes `data.path`, `schema` and `evaluate.candidates` absolute."""
    if isinstance(tree.get("schema"), str):
        tree["schema"] = _absolute(base, tree["schema"])
    evaluate = tree.get("evaluate")
    if isinstance(evaluate, dict) and isinstance(evaluate.get("candidates"), str):
        evaluate["candidates"] = _absolute(base, evaluate["candidates"])
    if tree.get("data") is None and data_path is not None:
        tree["data"] = {}
    data = tree.setdefault("data", {})
    if isinstance(data, dict):
        if data_path is not None:
            data["path"] = _absolute(Path.cwd(), data_path)
        elif isinstance(data.get("path"), str) and data["path"]:
            data["path"] = _absolute(base, data["path"])


def _absolute(base: Path, path: str) -> str:
    """`path` seen from `base`; a URL stays as it is."""
    return path if is_remote(path) else os.path.normpath(Path(base.resolve(), path))


def _validate(tree: dict[str, Any], source: str) -> PipelineConfig:
    try:
        return PipelineConfig.model_validate(tree)
    except pydantic.ValidationError as error:
        faults = [_describe(fault) for fault in error.errors()]
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in dict.fromkeys(faults))) from None


def _describe(fault: Any) -> str:
    """One fault as `key: rule (got value)`."""
    kind = fault["type"]
    # Where a key may hold one of two types, pydantic adds the type to the path; an unknown key may be called that.
    of_types = () if kind == "extra_forbidden" else ("str", "constrained-int", "int", "range", "choices")
    key = ".".join(str(part) for part in fault["loc"] if part not in of_types)
    if kind == "extra_forbidden":
        return f"{key}: unknown key; see docs/pipeline-file.md for the keys there are"
    if kind == "missing":
        return f"{key}: required, and missing"
    message = fault["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "must be")
    if not key:
        return message  # a rule about several sections, which names them itself
    if isinstance(fault["input"], dict | list | BaseModel):
        return f"{key}: {message}"
    return f"{key}: {message} (got {fault['input']!r})"
