"""A complete pipeline file: its sections, and the defaults and rules that involve several sections."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, Field, StrictStr

from components.batch_lists.settings import BatchSettings
from components.data_gate.settings import GateSettings
from components.evaluator.names import is_approximate, is_ranking, plain
from components.evaluator.settings import EvaluateSettings
from components.pair_example_gen.settings import DataSettings
from pipeline.config import candidates, defaults, effects, rules
from pipeline.config.sections.beam import Beam
from pipeline.config.sections.keep import Keep
from pipeline.config.sections.kubeflow import Kubeflow
from pipeline.config.sections.notify import Notify
from pipeline.config.sections.publish import Publish
from pipeline.config.sections.tune import Tune
from sections import Section
from storage.settings import StorageSettings
from trainer.search.space import LABEL_METRICS, HoldOut, TuneSettings
from trainer.settings import RMSE, EncodeSettings, ModelSettings, ScoreSettings, TrainSettings

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _name(name: str) -> str:
    """Refuses what is no label of DNS, which Kubernetes names are."""
    if _NAME.fullmatch(name):
        return name
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    advice = f". Try {near}" if near else ""
    raise ValueError(
        "must have 1 to 63 lower-case letters, digits and hyphens, and begin and end with a letter or a digit, because "
        f"clusters use it as a name{advice}"
    )


Name = Annotated[StrictStr, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$"})]


class PipelineConfig(Section):
    """A pipeline file. `schema` and `validate` are aliases, because pydantic reserves these names.

    Example: `PipelineConfig.model_validate({"name": "films", "data": {"path": "/data/pairs.csv"}})`
    """

    name: Name
    data: DataSettings
    schema_path: Annotated[StrictStr, Field(alias="schema")] = str(defaults.SCHEMA)
    validate_: Annotated[GateSettings, Field(alias="validate")] = GateSettings()
    encode: EncodeSettings = EncodeSettings()
    score: ScoreSettings = ScoreSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    tune: Tune | None = None
    evaluate: EvaluateSettings = EvaluateSettings()
    publish: Publish = Publish()
    batch: BatchSettings | None = None
    keep: Keep = Keep()
    notify: Notify = Notify()
    beam: Beam = Beam()
    kubeflow: Kubeflow = Kubeflow()
    storage: StorageSettings = StorageSettings()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _defaults(cls, tree: Any) -> Any:
        return defaults.by_labels(tree)

    @pydantic.model_validator(mode="after")
    def _rules(self) -> PipelineConfig:
        columns = self.data.columns
        rules.refuse_all(
            lambda: rules.what_solvers_can(self.encode, self.model, self.train),
            lambda: rules.own_trainer(self.data, self.train, self.tune is not None),
            lambda: rules.inputs_of_dataflow(self.data, self.storage, self.beam),
            lambda: rules.features_of_two_tables(self.data, self.encode),
            lambda: rules.cold_metrics(self.data, self.evaluate),
            lambda: rules.objective_of_labels(columns, self.score, self.model, self.train),
            lambda: rules.metrics_of_labels(columns, self.evaluate),
            lambda: rules.searched_settings(columns, self.encode, self.model, self.train),
            lambda: rules.approximate_metrics(self.evaluate, self.publish.approximate),
        )
        effects.refuse_without_effect(self.sections)
        if self.tune:
            self.tuned(self.tune)
        return self

    @property
    def sections(self) -> dict[str, Any]:
        """The values of the first level by their names in the file."""
        return {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}

    def tuned(self, tune: Tune) -> TuneSettings:
        """Returns what a section `tune` tries.

        Raises:
          ValueError: a parameter cannot be tried.
        """
        file = candidates.TunedFile(
            self.data.columns, self.score, self.encode, self.model, self.train, self.comparing_metric
        )
        return file.tuned(tune).replace(hold_out=self.hold_out)

    @property
    def hold_out(self) -> HoldOut:
        """The rows of train that choose settings. Without times, and with one table for both sides, they are random."""
        if self.data.columns.time is None or self.encode.shared:
            return "random"
        return "latest" if self.data.split.by == "time" else "latest_of_left"

    @property
    def comparing_metric(self) -> str:
        """The metric that compares trials of `tune`: that of the first rule, if it can be measured on rows of train."""
        if self.data.columns.score is None:
            return self.choosing_metric
        first = self.evaluate.bless[0].metric
        if first in LABEL_METRICS:
            return first
        return "auc" if self.model.objective == "logistic" else RMSE

    @property
    def choosing_metric(self) -> str:
        """The metric that chooses settings and epochs on held-out rows of train: `rmse`, or that of the first rule."""
        if self.data.columns.score is not None:
            return RMSE
        judged = (plain(rule.metric) for rule in self.evaluate.bless if not is_approximate(rule.metric))
        first = next(judged, "")
        return first if first and is_ranking(first) else "ndcg@10"

    @property
    def feature_columns(self) -> dict[str, Any]:
        """The columns of features of each side as the key `features`, and nothing without features."""
        sides = {side: given.model_dump(include={"columns"})["columns"] for side, given in self.data.features.items()}
        return {"features": sides} if sides else {}

    def to_json(self) -> dict[str, Any]:
        """Returns the configuration as a JSON-compatible tree with all defaults."""
        return self.model_dump(mode="json", by_alias=True)
