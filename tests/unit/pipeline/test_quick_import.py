"""What a run imports, and what it does not until somebody asks for it. In processes of their own: modules stay."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.tensorflow

UNNEEDED = ["IPython", "keras_tuner", "kubernetes", "nltk", "sklearn", "tf_keras", "tfx.components.evaluator.executor"]

SCRIPT = """
import gc, json, sys
from pipeline.quick_import import tfx_imported
with tfx_imported():
    from pipeline import execution
said = {"imported": sorted(set(sys.modules) & set(UNNEEDED))}
said |= {"collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
import tfx.components, tensorflow_model_analysis as tfma
from tfx.components import Evaluator
said["component"] = Evaluator.__module__
said["function"] = tfma.load_eval_result.__name__
said["unknown"] = hasattr(tfma, "no_such_name")
import IPython, pandas
with tfx_imported():
    pass
said["again"] = sys.modules["IPython"] is IPython
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    script = SCRIPT.replace("UNNEEDED", repr(UNNEEDED))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "IPython" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_what_no_run_needs_stays_out(said: dict[str, Any]) -> None:
    assert said["imported"] == []


def test_garbage_is_collected_again_and_modules_are_not_looked_at(said: dict[str, Any]) -> None:
    assert said["collects"]
    assert said["frozen"] > 100_000


def test_packages_are_whole_once_asked(said: dict[str, Any]) -> None:
    assert said["component"] == "tfx.components.evaluator.component"
    assert said["function"] == "load_eval_result"
    assert not said["unknown"]


def test_what_is_imported_already_stays(said: dict[str, Any]) -> None:
    assert said["again"]
