"""The imports of a run, immediate and on demand. Each test has its own process, because imported modules stay."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

UNNEEDED = ["IPython", "keras_tuner", "kubernetes", "nltk", "sklearn", "tf_keras", "tfx.components.evaluator.executor"]
UNNEEDED += ["bson", "numpy.f2py.crackfortran", "pymongo"]

ENTRY_POINTS = [
    "pipeline.cli",
    "pipeline.kubeflow.node",
    "pipeline.kubeflow.run_report",
    "serving.model_server.main",
    "serving.protoset",
]

SCRIPT = """
import gc, json, sys
from compat.process import prepare
prepare()
from pipeline.running import orchestrator
import apache_beam as beam
with beam.Pipeline("FnApiRunner") as pipeline:
    pipeline | beam.Create([1])
found = {"imported": sorted(set(sys.modules) & set(UNNEEDED))}
found |= {"collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
import tfx.components, tensorflow_model_analysis as tfma
from tfx.components import Evaluator
found["component"] = Evaluator.__module__
import numpy
found["include"] = numpy.f2py.get_include().rpartition("/")[2]
found["function"] = tfma.load_eval_result.__name__
found["unknown"] = hasattr(tfma, "no_such_name")
import IPython, pandas
prepare()
from pipeline.running import graph
found["again"] = sys.modules["IPython"] is IPython
found["finders"] = [type(finder).__name__ for finder in sys.meta_path].count("Shortcuts")
print(json.dumps(found))
"""

OTHER_VERSIONS = """
import sys
import compat.imports
compat.imports.is_version = lambda *_: False
from compat.process import prepare
prepare()
from pipeline.running import orchestrator
assert {"tf_keras", "tfx.components.evaluator.executor", "IPython"} <= set(sys.modules)
import apache_beam as beam
with beam.Pipeline() as pipeline:
    pipeline | beam.Create([1]) | beam.Map(lambda x: x + 1)
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    script = SCRIPT.replace("UNNEEDED", repr(UNNEEDED))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "IPython" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.tensorflow
def test_unneeded_modules_stay_out(found: dict[str, Any]) -> None:
    assert found["imported"] == []


@pytest.mark.tensorflow
def test_garbage_is_collected_again_without_the_modules(found: dict[str, Any]) -> None:
    assert found["collects"]
    assert found["frozen"] > 100_000


@pytest.mark.tensorflow
def test_packages_are_complete_on_demand(found: dict[str, Any]) -> None:
    assert found["component"] == "tfx.components.evaluator.component"
    assert found["include"] == "src"
    assert found["function"] == "load_eval_result"
    assert not found["unknown"]


@pytest.mark.tensorflow
def test_imported_modules_stay(found: dict[str, Any]) -> None:
    assert found["again"]


@pytest.mark.tensorflow
def test_preparing_twice_changes_nothing(found: dict[str, Any]) -> None:
    assert found["finders"] == 1


@pytest.mark.tensorflow
def test_other_versions_still_run() -> None:
    done = subprocess.run([sys.executable, "-c", OTHER_VERSIONS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_entry_points_prepare_before_large_imports() -> None:
    script = f"import sys, {', '.join(ENTRY_POINTS)}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "apache_beam", "tfx"} & set(done.stdout.split())


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_entry_points_prepare_first(module: str) -> None:
    path = Path(__file__).parents[3] / (module.replace(".", "/") + ".py")
    main = next(
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    called = [node.func.id for node in ast.walk(main) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert "prepare" in called
