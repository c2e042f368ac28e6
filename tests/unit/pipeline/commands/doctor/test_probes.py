"""Probes of the child process, and descriptions of failures."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.commands.doctor import probes
from pipeline.commands.doctor.probes import tried
from tests.source_files import REPOSITORY


def failing(error: Exception) -> str:
    raise error


def test_failed_probe_does_not_stop_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ImportError("libfoo: version `GLIBC_2.38' not found\nmore")
    wanted = [("bad", lambda: failing(missing)), ("good", lambda: "fine")]
    monkeypatch.setattr(probes, "probes", lambda: iter(wanted))
    probes.probe_all(tmp_path / "record")
    lines = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    assert [line[0] for line in lines] == ["bad", "bad", "good", "good"]
    assert lines[1][1:3] == [False, "ImportError: libfoo: version `GLIBC_2.38' not found"]
    assert "-m bootstrap.glibc" in lines[1][3]
    assert lines[3][1:] == [True, "fine", ""]


@pytest.mark.parametrize(
    ("error", "restores"),
    [
        (ModuleNotFoundError("No module named 'components.x'", name="components.x"), True),
        (ImportError("cannot import name 'x' from 'trainer.features'", name="trainer.features"), True),
        (ModuleNotFoundError("No module named 'scipy'", name="scipy"), False),
        (ValueError("numpy.dtype size changed"), False),
        (SyntaxError("invalid syntax", (str(REPOSITORY / "trainer" / "x.py"), 3, 1, "")), True),
        (SyntaxError("invalid syntax", ("/usr/lib/python3/six.py", 3, 1, "")), False),
    ],
)
def test_broken_code_is_restored_and_broken_libraries_installed(error: Exception, restores: bool) -> None:
    fix = tried("x", lambda: failing(error)).fix
    assert ("git" in fix, "Remove .venv" in fix) == (restores, not restores)


def test_syntax_error_has_file_and_line() -> None:
    error = SyntaxError("invalid syntax", (str(REPOSITORY / "trainer" / "x.py"), 3, 1, ""))
    assert probes.described(error) == "SyntaxError: invalid syntax (trainer/x.py, line 3)"


def test_keras_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = ModuleType("keras")
    keras.__version__ = "2.15.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", keras)
    with pytest.raises(RuntimeError, match=r"Keras 2\.15\.0"):
        probes.probe_keras()


def test_missing_program_is_named() -> None:
    check = tried("kindred-nothing", lambda: probes.probe_program("kindred-nothing"))
    assert not check.ok and check.found.endswith("kindred-nothing is missing")


@pytest.mark.tensorflow
class TestGraph:
    """The graph that the doctor compiles."""

    def test_every_node_is_loaded(self) -> None:
        checks = {}
        wanted = probes.probes()
        for name, probe in wanted:  # the nodes follow the graph
            if name == "graph" or checks:
                checks[name] = tried(name, probe)
        assert all(check.ok for check in checks.values())
        assert checks["Evaluator"].found == "components.evaluator.executor.Executor"
        assert checks["Trainer"].found.endswith("GenericExecutor, trainer.run_fn.run_fn")
        assert checks["LatestBlessedModel"].found == "components.latest_blessed.strategy.LatestBlessedOtherModel"

    def test_no_node_of_the_graph_is_left_out(self) -> None:
        """Each call that creates a node is one node of the compiled graph."""
        from tfx.dsl.components.base.base_node import BaseNode

        from pipeline.running import data_nodes, release_nodes, training_nodes

        modules = (data_nodes, training_nodes, release_nodes)
        types = {name: value for module in modules for name, value in vars(module).items() if isinstance(value, type)}
        classes = {name for name, value in types.items() if issubclass(value, BaseNode)}
        trees = [ast.parse(inspect.getsource(module)) for module in modules]
        calls = [node.func for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
        # A call of the class creates a node, or of a class method such as `PairExampleGen.of`.
        makers = [call.value if isinstance(call, ast.Attribute) else call for call in calls]
        made = [maker.id for maker in makers if isinstance(maker, ast.Name) and maker.id in classes]
        (nodes,) = [probe() for name, probe in probes.probes() if name == "graph"]
        # BatchLists is in the graph only with section `batch`, which the probe does not have.
        assert nodes == f"{len(made) - 1} nodes" and "BatchLists" in made
        assert len(made) >= 16
