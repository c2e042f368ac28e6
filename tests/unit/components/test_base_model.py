"""The base model of a warm start, resolved from the lineage in a real metadata store."""

from __future__ import annotations

import json

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx.components.evaluator import constants
from tfx.types import standard_artifacts

from components.base_model.strategy import LatestBlessedOfEarlierExamples
from components.pair_example_gen.settings import IngestSettings

pytestmark = pytest.mark.tensorflow

INPUT, OUTPUT = proto.Event.INPUT, proto.Event.OUTPUT


class Lineage:
    """An in-memory metadata store with the same records as TFX's launcher writes."""

    def __init__(self) -> None:
        connection = proto.ConnectionConfig()
        connection.fake_database.SetInParent()
        self.store = mlmd.MetadataStore(connection)
        self._types = {
            name: self.store.put_artifact_type(proto.ArtifactType(name=name)) for name in ("Examples", "Model")
        }
        for name in ("PairExampleGen", "Trainer", "Resolver"):
            self._types[name] = self.store.put_execution_type(proto.ExecutionType(name=name))
        self.models: list[standard_artifacts.Model] = []
        self.blessings: list[standard_artifacts.ModelBlessing] = []

    def examples(self, by: str = "pair", fraction: float = 0.1) -> int:
        settings = IngestSettings(path="/pairs.csv", split={"by": by, "eval_fraction": fraction})
        return self.recorded(settings.model_dump_json())

    def recorded(self, settings: str) -> int:
        """Records examples with the given text as settings."""
        made = self._artifact("Examples")
        self._execute("PairExampleGen", {}, {"examples": made}, settings=settings)
        return made

    def served_from_cache(self, examples: int) -> None:
        """Records the cached ExampleGen of a later run."""
        event = self.store.get_events_by_artifact_ids([examples])[0]
        (execution,) = self.store.get_executions_by_id([event.execution_id])
        settings = execution.custom_properties["settings"].string_value
        self._execute("PairExampleGen", {}, {"examples": examples}, settings=settings)

    def trained(self, examples: int, blessed: bool | None = True, base: int | None = None) -> int:
        """Records a model of `examples`: blessed, refused, or never judged (None)."""
        made = self._artifact("Model")
        inputs = {"examples": examples} | ({"base_model": base} if base else {})
        self._execute("Trainer", inputs, {"model": made}, custom_config=json.dumps({}))
        model = standard_artifacts.Model()
        model.id = made
        self.models.append(model)
        if blessed is not None:
            self.bless(made, blessed)
        return made

    def bless(self, model: int, blessed: bool = True) -> None:
        blessing = standard_artifacts.ModelBlessing()
        blessing.id = 1000 + len(self.blessings)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))
        self.blessings.append(blessing)

    def base_of(self, examples: int) -> int | None:
        given = standard_artifacts.Examples()
        given.id = examples
        resolved = LatestBlessedOfEarlierExamples().resolve_artifacts(
            self.store, {"examples": [given], "model": self.models[::-1], "model_blessing": self.blessings}
        )
        assert resolved is not None
        assert resolved["examples"] == [given]
        self._note_resolution([examples, *(model.id for model in resolved["model"])])
        assert len(resolved["model"]) == len(resolved["model_blessing"]) <= 1
        for model, blessing in zip(resolved["model"], resolved["model_blessing"], strict=True):
            key = constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
            assert blessing.get_int_custom_property(key) == model.id
            return model.id
        return None

    def _note_resolution(self, found: list[int]) -> None:
        """TFX records the artifacts of a resolver as internal outputs."""
        (made,) = self.store.put_executions([proto.Execution(type_id=self._types["Resolver"])])
        internal = proto.Event.INTERNAL_OUTPUT
        self.store.put_events(
            [proto.Event(artifact_id=artifact, execution_id=made, type=internal) for artifact in found]
        )

    def _artifact(self, kind: str) -> int:
        return self.store.put_artifacts([proto.Artifact(type_id=self._types[kind])])[0]

    def _execute(self, kind: str, inputs: dict[str, int], outputs: dict[str, int], **properties: str) -> None:
        execution = proto.Execution(type_id=self._types[kind])
        for name, value in properties.items():
            execution.custom_properties[name].string_value = value
        (made,) = self.store.put_executions([execution])
        sides = [(INPUT, inputs), (OUTPUT, outputs)]
        self.store.put_events(
            [
                proto.Event(
                    artifact_id=artifact, execution_id=made, type=kind_of_event,
                    path=proto.Event.Path(steps=[proto.Event.Path.Step(key=key), proto.Event.Path.Step(index=0)]),
                )
                for kind_of_event, artifacts in sides
                for key, artifact in artifacts.items()
            ]
        )  # fmt: skip


@pytest.fixture
def lineage() -> Lineage:
    return Lineage()


def test_first_examples_have_no_base(lineage: Lineage) -> None:
    assert lineage.base_of(lineage.examples()) is None


def test_same_examples_give_no_base(lineage: Lineage) -> None:
    first = lineage.examples()
    lineage.trained(first)
    assert lineage.base_of(first) is None


def test_unchanged_run_resolves_same_model(lineage: Lineage) -> None:
    old = lineage.trained(lineage.examples())
    examples = lineage.examples()
    assert lineage.base_of(examples) == old
    newer = lineage.trained(examples, base=old)
    lineage.served_from_cache(examples)
    assert lineage.base_of(examples) == old
    assert lineage.base_of(lineage.examples()) == newer


def test_latest_blessed_model_is_base(lineage: Lineage) -> None:
    first = lineage.examples()
    one, two = lineage.trained(first), lineage.trained(first)
    lineage.trained(first, blessed=False)
    lineage.trained(first, blessed=None)
    second = lineage.examples()
    assert lineage.base_of(second) == two
    lineage.bless(one)
    assert lineage.base_of(second) == one


def test_newer_model_is_no_base(lineage: Lineage) -> None:
    first = lineage.examples()
    lineage.trained(first)
    lineage.trained(lineage.examples())
    assert lineage.base_of(first) is None


@pytest.mark.parametrize(("by", "fraction"), [("left", 0.1), ("pair", 0.2)])
def test_different_split_rule_gives_no_base(lineage: Lineage, by: str, fraction: float) -> None:
    lineage.trained(lineage.examples())
    other = lineage.examples(by, fraction)
    assert lineage.base_of(other) is None
    of_other = lineage.trained(other)
    assert lineage.base_of(lineage.examples(by, fraction)) == of_other


def _recorded(**changes: object) -> str:
    columns = {"left": "a", "right": "b", "fold": "f"}
    return IngestSettings(path="/d.csv", columns=columns, **changes).model_dump_json()


def test_base_of_unordered_pairs_has_unordered_pairs(lineage: Lineage) -> None:
    ordered, unordered = _recorded(), _recorded(unordered=True)
    lineage.trained(lineage.recorded(ordered))
    assert lineage.base_of(lineage.recorded(unordered)) is None
    model = lineage.trained(lineage.recorded(unordered))
    assert lineage.base_of(lineage.recorded(unordered)) == model


def test_split_of_a_column_gives_no_base(lineage: Lineage) -> None:
    """Other data may put a pair into another fold."""
    settings = _recorded(split={"by": "column", "eval_folds": [1]})
    lineage.trained(lineage.recorded(settings))
    assert lineage.base_of(lineage.recorded(settings)) is None


@pytest.mark.parametrize("settings", ["", '{"split_by": "pair", "eval_fraction": 0.1}'])
def test_settings_of_other_versions_give_no_base(lineage: Lineage, settings: str) -> None:
    lineage.trained(lineage.recorded(settings))
    assert lineage.base_of(lineage.examples()) is None
    assert lineage.base_of(lineage.recorded(settings)) is None


def test_unknown_examples_give_no_base(lineage: Lineage) -> None:
    model = standard_artifacts.Model()
    model.id = 77
    lineage.models.append(model)
    lineage.bless(77)
    assert lineage.base_of(lineage.examples()) is None
