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

from components.pair_example_gen.files import is_remote
from components.pair_example_gen.source import Layout, Settings
from pipeline import yaml_file
from pipeline.errors import ConfigError
from pipeline.kubeflow.settings import Kubeflow

SCHEMA = Path(__file__).parent.parent / "schemas" / "pairs.pbtxt"

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

    `weight` and `time` are optional: how much a row counts, and when it was observed.
    """

    left: Column
    right: Column
    score: Column
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
    shared: StrictBool = False


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


class Train(_Section):
    """How the model is fitted."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 8192
    optimizer: Literal["adagrad", "adam", "sgd"] = "adagrad"
    learning_rate: Annotated[Number, Field(gt=0)] = 0.1
    early_stopping: EarlyStopping | None = EarlyStopping()
    # NumPy's generator, which Keras seeds too, takes 32 bits.
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 1
    data_memory_mb: PositiveInt = 2048
    devices: Literal["one", "all", "workers"] = "one"


Metric = Literal["rmse", "mae"]


class BlessingRule(_Section):
    """One condition that a model must meet to be published."""

    metric: Metric
    below: Number | None = None
    above: Number | None = None
    better_than: Literal["baseline", "last_blessed"] | None = None
    margin: Number | None = None

    @pydantic.model_validator(mode="after")
    def _one_bound(self) -> BlessingRule:
        bounds = [self.below is not None, self.above is not None, self.better_than is not None]
        if sum(bounds) != 1:
            raise ValueError("a rule has exactly one of below, above, better_than")
        if self.margin is not None and self.better_than is None:
            raise ValueError("margin goes with better_than only")
        return self

    def __str__(self) -> str:
        if self.better_than is None:
            return (
                f"{self.metric} below {self.below:g}"
                if self.below is not None
                else f"{self.metric} above {self.above:g}"
            )
        margin = f" by {self.margin:g}" if self.margin else ""
        return f"{self.metric} better than {self.better_than}{margin}"


def _distinct(rules: tuple[BlessingRule, ...]) -> tuple[BlessingRule, ...]:
    kinds = [(r.metric, r.better_than or ("below" if r.below is not None else "above")) for r in rules]
    if len(set(kinds)) < len(kinds):
        raise ValueError("the same metric has the same kind of bound twice; keep the stricter rule")
    if not rules:
        raise ValueError("at least one rule is needed: a model is never published unproven")
    return rules


DEFAULT_RULES = (
    BlessingRule(metric="rmse", better_than="baseline"),
    BlessingRule(metric="rmse", better_than="last_blessed"),
)


class Evaluate(_Section):
    """What is measured on the eval split, and what a model must reach."""

    metrics: tuple[Metric, ...] = ("rmse", "mae")
    bless: Annotated[tuple[BlessingRule, ...], AfterValidator(_distinct)] = DEFAULT_RULES


class Publish(_Section):
    """Where blessed models go, relative to ROOT, and how many versions are kept there."""

    to: Annotated[StrictStr, Field(min_length=1)] = "serving"
    keep: PositiveInt = 5


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
    evaluate: Evaluate = Evaluate()
    publish: Publish = Publish()
    kubeflow: Kubeflow = Kubeflow()

    def to_json(self) -> dict[str, Any]:
        """The configuration as a pipeline file would hold it, every default filled in."""
        return self.model_dump(mode="json", by_alias=True)


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


def load_config(path: Path, overrides: Sequence[str] = (), data_path: str | None = None) -> PipelineConfig:
    """Reads and validates a pipeline file.

    Args:
      path: the YAML file; relative paths in it are relative to its folder.
      overrides: `a.b=value` each, applied on top of the file; the value is read as YAML.
      data_path: replaces `data.path`; relative to the working directory, as a shell user means it.

    Raises:
      ConfigError: the file cannot be read, is not YAML, or breaks a rule; every fault is listed with its key, the rule
        and the value received.
    """
    tree = _read(path)
    for override in overrides:
        _apply(tree, override)
    _resolve_paths(tree, path.parent, data_path)
    return _validate(tree, str(path))


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
    """Makes `data.path` and `schema` absolute."""
    if isinstance(tree.get("schema"), str):
        tree["schema"] = _absolute(base, tree["schema"])
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
    of_types = () if kind == "extra_forbidden" else ("str", "constrained-int", "int")
    key = ".".join(str(part) for part in fault["loc"] if part not in of_types)
    if kind == "extra_forbidden":
        return f"{key}: unknown key; see docs/pipeline-file.md for the keys there are"
    if kind == "missing":
        return f"{key}: required, and missing"
    message = fault["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "must be")
    if isinstance(fault["input"], dict | list | BaseModel):
        return f"{key}: {message}"
    return f"{key}: {message} (got {fault['input']!r})"
