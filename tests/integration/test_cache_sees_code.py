"""A node and what follows run again when code behind the node changes, and come from the cache otherwise.

The drivers, the resolvers, the launcher and the metadata store are TFX's own. Only the executors are replaced: they
write nothing, so that a run of the whole graph takes a second.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tfx.components.evaluator import constants
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_executor_operator, python_executor_operator
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from components.data_gate.executor import STATISTICS_PROPERTY
from pipeline.config import SCHEMA, load_config
from pipeline.records.root import Root
from pipeline.running import code_digest, node_runner
from pipeline.running.code_digest import SourceTree
from pipeline.running.graph import compile_graph, create_pipeline
from pipeline.running.node_code import CODE, code_names
from tests import source_files
from tests.e2e import planted

pytestmark = pytest.mark.tensorflow

# Every node that a pipeline file can ask for.
OPTIONAL = ["train.warm_start=true", "tune={trials: 2}", "evaluate.metrics=[rmse, recall@5]"]
RESOLVERS = {"BaseModel", "LastAcceptedData", "LatestBlessedModel"}
STOCK = {"ImportSchemaGen", "ExampleValidator"}
OURS = ["PairExampleGen", "StatisticsGen", "DataGate", "Transform", "Tuner", "Trainer", "RankingEvaluator", "Evaluator",
        "ModelCard", "ServingCanary", "Pusher"]  # fmt: skip
ALWAYS = RESOLVERS | {"Pusher"}


class Idle(base_executor_operator.BaseExecutorOperator):
    """Runs no executor. It leaves the properties that resolvers look for, as the executors do."""

    SUPPORTED_EXECUTOR_SPEC_TYPE = [
        executable_spec_pb2.PythonClassExecutableSpec,
        executable_spec_pb2.BeamExecutableSpec,
    ]
    SUPPORTED_PLATFORM_CONFIG_TYPE: list[Any] = []

    def run_executor(self, execution_info: Any) -> Any:
        return python_executor_operator.run_with_executor(execution_info, self)

    def Do(self, inputs: Any, outputs: Any, properties: Any) -> None:  # noqa: N802 - TFX's name
        if "decision" in outputs:
            outputs["decision"][0].set_string_custom_property(STATISTICS_PROPERTY, inputs["statistics"][0].uri)
        if "blessing" in outputs and "evaluation" in outputs:
            outputs["blessing"][0].set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, 1)
            model = inputs["model"][0].id
            outputs["blessing"][0].set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model)


class Program:
    """A copy of this program, and a root that it has run in once."""

    def __init__(self, folder: Path) -> None:
        self.source = source_files.copy_of_the_program(folder / "source")
        self.schema = Path(shutil.copy(SCHEMA, folder / "pairs.pbtxt"))
        config = load_config(planted.write_pipeline(folder), [*OPTIONAL, f"schema={self.schema}"])
        self._config, self._root, self._runs = config, Root(folder / "root"), 0
        self._root.path.mkdir()
        self.graph = self.compile()
        self._seen = folder / "metadata.sqlite"
        assert set(self.run().values()) == {"executed"}
        shutil.copy(self._root.metadata, self._seen)

    def compile(self) -> pipeline_pb2.Pipeline:
        self._runs += 1
        return compile_graph(create_pipeline(self._config, self._root), f"run-{self._runs}")

    def run(self) -> dict[str, str]:
        """What becomes of each node in a second run, of the program as it is now."""
        if self._seen.exists():
            shutil.copy(self._seen, self._root.metadata)
        graph = self.compile()
        connection = metadata.sqlite_metadata_connection_config(str(self._root.metadata))
        idle = dict.fromkeys(Idle.SUPPORTED_EXECUTOR_SPEC_TYPE, Idle)
        runner = node_runner.NodeRunner(graph, metadata.Metadata(connection), operators=idle)
        return {e.pipeline_node.node_info.id: runner.run(e.pipeline_node).state for e in graph.nodes}

    def code(self) -> dict[str, str]:
        return {
            entry.pipeline_node.node_info.id: entry.pipeline_node.parameters.parameters[CODE].field_value.string_value
            for entry in self.compile().nodes
        }

    def behind(self, node_id: str) -> dict[str, int]:
        """How many imports each module is away from what the node runs, by Python's own parser."""
        (node,) = (e.pipeline_node for e in self.graph.nodes if e.pipeline_node.node_info.id == node_id)
        return source_files.distances(self.source, code_names(self.graph, node))

    def two_imports_away(self, node_id: str) -> Path:
        """A module that the node's modules import only through another one. Transform has none: one import away."""
        behind = self.behind(node_id)
        farthest = min(2, max(behind.values()))
        module = min(module for module, distance in behind.items() if distance == farthest)
        path = source_files.file_of(self.source, module)
        assert path
        return path

    def affected(self, path: Path) -> set[str]:
        """The nodes that import the file at `path`, and all that read what these put out."""
        parts = path.relative_to(self.source).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found: set[str] = set()
        for entry in self.graph.nodes:  # in the order in which they run
            node = entry.pipeline_node
            read = {
                channel.producer_node_query.id for input_ in node.inputs.inputs.values() for channel in input_.channels
            }
            if module in self.behind(node.node_info.id) or read & (found - RESOLVERS):
                found.add(node.node_info.id)
        return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("program")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("graph", "training_nodes"):
            patch.setattr(f"pipeline.running.{module}.this_program", lambda: SourceTree(folder / "source"))
        yield Program(folder)


@pytest.fixture
def edit(program: Program) -> Iterator[Any]:
    """Appends to a file, and takes it back after the test."""
    before: dict[Path, bytes | None] = {}

    def append(path: Path, text: str = "\nx = 1\n") -> None:
        before[path] = path.read_bytes() if path.exists() else None
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    yield append
    for path, content in before.items():
        path.unlink() if content is None else path.write_bytes(content)


def executed(states: dict[str, str]) -> set[str]:
    return {node_id for node_id, state in states.items() if state == "executed"}


def test_the_tests_know_every_node(program: Program) -> None:
    assert set(program.code()) == {*OURS, *RESOLVERS, *STOCK}


def test_nothing_changed_nothing_runs(program: Program) -> None:
    assert executed(program.run()) == ALWAYS


@pytest.mark.parametrize("node_id", OURS)
def test_changed_code_runs_its_node_and_what_follows(program: Program, edit: Any, node_id: str) -> None:
    path = program.two_imports_away(node_id)
    edit(path)
    affected = program.affected(path)
    assert node_id in affected
    assert executed(program.run()) == affected | ALWAYS


def test_the_canary_runs_again_with_another_server(program: Program, edit: Any) -> None:
    """The server runs in its own process, so that the canary's executor does not import it."""
    edit(program.source / "serving" / "model_server" / "inference.py")
    assert executed(program.run()) == {"ServingCanary"} | ALWAYS


@pytest.mark.parametrize(
    "name",
    ["trainer/data/examples.py", "components/pair_example_gen/shards.py", "components/pair_example_gen/entities.py"],
)
def test_examples_of_another_layout_are_never_read(program: Program, edit: Any, name: str) -> None:
    """A root of an older version has examples without columns. All data are then read again."""
    edit(program.source / name)
    assert executed(program.run()) == {*OURS, *RESOLVERS, "ExampleValidator"}


def test_a_card_is_written_again_with_another_template(program: Program, edit: Any) -> None:
    (template,) = (program.source / "components" / "model_card").glob("*.jinja")
    edit(template, "another line\n")
    assert executed(program.run()) == {"ModelCard"} | ALWAYS


@pytest.mark.parametrize("node_id", sorted(RESOLVERS))
def test_changed_code_of_a_resolver_is_recorded(program: Program, edit: Any, node_id: str) -> None:
    before = program.code()
    for distance in sorted({0, max(program.behind(node_id).values())}):
        module = next(module for module, far in program.behind(node_id).items() if far == distance)
        edit(source_files.file_of(program.source, module))
        after = program.code()
        assert after[node_id] not in ("", before[node_id])
        before = after


def test_a_resolver_that_finds_the_same_changes_nothing(program: Program, edit: Any) -> None:
    (strategy,) = (m for m, far in program.behind("BaseModel").items() if far == 0)
    edit(source_files.file_of(program.source, strategy))
    assert executed(program.run()) == ALWAYS


def test_an_edited_schema_is_imported_again(program: Program, edit: Any) -> None:
    edit(program.schema, "# other presence\n")
    states = program.run()
    assert states["PairExampleGen"] == states["StatisticsGen"] == "cached"
    assert executed(states) >= {*STOCK, "DataGate", "Transform", "Trainer", "Evaluator"}


def test_another_library_runs_everything(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = (*code_digest.library_versions()[1:], ("tensorflow", "2.99"))
    monkeypatch.setattr(code_digest, "library_versions", lambda: versions)
    assert set(program.run().values()) == {"executed"}


@pytest.mark.parametrize(
    "name",
    [
        "pipeline/running/console.py",
        "pipeline/report/page.py",
        "components/unused.py",
        "components/evaluator/README.md",
    ],
)
def test_other_files_change_nothing(program: Program, edit: Any, name: str) -> None:
    edit(program.source / name)
    assert executed(program.run()) == ALWAYS
