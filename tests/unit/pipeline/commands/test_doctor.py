"""The real imports take ten seconds and are what `make doctor` runs; here the doctor's own judgement is tested."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from bootstrap import glibc
from pipeline.commands import doctor
from pipeline.commands.doctor import Check

LOCK = """version = 1

[[package]]
name = "numpy"
version = "2.2.6"
source = { registry = "index" }

[[package]]
name = "numpy"
version = "2.4.6"
dependencies = [
    { name = "tfx", version = "9" },
]

[[package]]
name = "tfx"
version = "1.21.0"
"""


def _by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_read_lock_knows_that_pythons_differ(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(LOCK)
    assert doctor.read_lock(tmp_path / "uv.lock") == {"numpy": {"2.2.6", "2.4.6"}, "tfx": {"1.21.0"}}
    assert doctor.read_lock(tmp_path / "none") is None


def test_the_repositorys_own_lock_names_every_package_that_the_report_shows() -> None:
    assert set(doctor.DISTRIBUTIONS) <= set(doctor.read_lock(doctor.ROOT / "uv.lock") or {})


def test_versions_are_compared_with_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTIONS", ("tfx", "numpy", "kfp"))
    installed = {"tfx": "1.20.0", "numpy": "2.2.6", "six": "1", "attrs": "2", "mine": "0"}
    locked = {"tfx": {"1.21.0"}, "numpy": {"2.2.6", "2.4.6"}, "six": {"1"}, "attrs": {"3"}}
    checks = _by_name(list(doctor.check_versions(installed, locked)))
    assert [name for name, check in checks.items() if not check.ok] == ["tfx", "kfp", "other packages"]
    assert checks["tfx"].found == "1.20.0, locked at 1.21.0"
    assert checks["kfp"].found == "not installed"
    assert checks["other packages"].found == "not as locked: attrs 2"


def test_without_a_lock_what_is_installed_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTIONS", ("tfx",))
    checks = list(doctor.check_versions({"tfx": "5"}, None))
    assert all(check.ok for check in checks)
    assert checks[-1].found == "no uv.lock to compare with"


def test_the_machine() -> None:
    assert not doctor.check_disk(10**9, Path("/")).ok
    assert doctor.check_disk(10**10, Path("/")).ok
    assert not doctor.check_memory(10**9).ok
    assert doctor.check_memory(8 * 10**9).ok
    assert doctor.check_python((3, 12), "CPython").ok
    assert not doctor.check_python((3, 9), "CPython").ok
    assert not doctor.check_python((3, 12), "PyPy").ok
    assert doctor.memory_bytes() > 10**8
    assert doctor.core_count() >= 1


@pytest.mark.parametrize(
    ("state", "ok", "mend"),
    [
        (glibc.State.REPAIRED, True, ""),
        (glibc.State.NOT_NEEDED, True, ""),
        (glibc.State.NEEDED, False, "bootstrap/glibc.py"),
        (glibc.State.NOT_INSTALLED, False, "Remove .venv"),
    ],
)
def test_the_repair_is_reported(state: glibc.State, ok: bool, mend: str) -> None:
    check = doctor.check_repair(glibc.RepairStatus(state, (2, 36)))
    assert check.ok is ok
    assert mend in check.mend


def test_a_probe_that_raises_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    def broken() -> str:
        raise ImportError("libfoo: version `GLIBC_2.38' not found\nmore")

    doctor.probe_all(tmp_path / "record", {"bad": broken, "good": lambda: "fine"})
    lines = [json.loads(line) for line in (tmp_path / "record").read_text().splitlines()]
    bad, good = doctor.read_record(lines, 0, "")
    assert (bad.ok, bad.found) == (False, "ImportError: libfoo: version `GLIBC_2.38' not found")
    assert "bootstrap/glibc.py" in bad.mend
    assert good == Check("good", True, "fine", good.mend)


def _child(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os, pathlib, sys\nrecord = pathlib.Path(sys.argv[1])\n{code}")


def test_a_library_that_kills_python_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    code = """
record.write_text('["import keras"]\\n["import keras", true, "3.1"]\\n["import kfp"]\\n')
print("chatter", flush=True)
os.write(2, b"Fatal error: no such symbol\\n")
os.abort()
"""
    keras, kfp = doctor.check_imports(_child(code))
    assert (keras.name, keras.ok) == ("import keras", True)
    assert (kfp.name, kfp.ok) == ("import kfp", False)
    assert kfp.found == "Python died of SIGABRT: Fatal error: no such symbol"
    assert capfd.readouterr() == ("", "")  # nothing of what libraries say reaches the screen


def test_a_child_that_cannot_start_is_a_failed_check() -> None:
    (check,) = doctor.check_imports(_child("sys.exit('No module named rich')"))
    assert (check.ok, check.found) == (False, "Python died of exit code 1: No module named rich")


@pytest.fixture
def fake_tfx(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tfx.components, and a module that holds a component class called Good."""
    components, module = ModuleType("tfx.components"), ModuleType("home")
    module.Good = type("Good", (), {})  # type: ignore[attr-defined]
    module.Function = print  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tfx", ModuleType("tfx"))
    monkeypatch.setitem(sys.modules, "tfx.components", components)
    monkeypatch.setitem(sys.modules, "home", module)
    return components


def test_a_component_that_tfx_sets_to_none_is_found(fake_tfx: ModuleType) -> None:
    assert doctor._probe_component("Good", "home") == "home"  # not every component is exported there
    fake_tfx.Good = None  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"tfx\.components\.Good is None"):
        doctor._probe_component("Good", "home")


def test_a_component_must_be_a_class(fake_tfx: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"home\.Function is not a class"):
        doctor._probe_component("Function", "home")
    with pytest.raises(AttributeError, match="Missing"):
        doctor._probe_component("Missing", "home")


def test_keras_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = ModuleType("keras")
    keras.__version__ = "2.15.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keras", keras)
    with pytest.raises(RuntimeError, match=r"Keras 2\.15\.0"):
        doctor._probe_keras()


def test_every_component_has_a_probe_bound_to_its_own_module(
    monkeypatch: pytest.MonkeyPatch, fake_tfx: ModuleType
) -> None:
    monkeypatch.setattr(doctor, "COMPONENTS", {"Good": "home", "Other": "elsewhere"})
    probes = doctor.probes()
    assert probes["Good"]() == "home"
    with pytest.raises(ModuleNotFoundError, match="elsewhere"):
        probes["Other"]()


@pytest.mark.parametrize("ok", [True, False])
def test_main_says_how_to_mend_what_failed(
    ok: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("Python", True, "CPython"), Check("disk", ok, "[full]", "Free some.")]
    monkeypatch.setattr(doctor, "diagnose", lambda: checks)
    assert doctor.main() == (0 if ok else 1)
    said = capsys.readouterr().out
    assert "[full]" in said
    assert ("Free some." in said) is not ok
    assert said.splitlines()[-1] == ("Healthy." if ok else "1 of 2 checks failed.")


def test_render_says_a_cure_once_for_all_that_it_mends() -> None:
    out = io.StringIO()
    checks = [Check("a", False, "", "Mend."), Check("b", False, "", "Other."), Check("c", False, "", "Mend.")]
    doctor.render(checks, Console(file=out, width=40))
    assert out.getvalue().splitlines()[3:] == ["a, c: Mend.", "b: Other.", "3 of 3 checks failed."]


def test_render_keeps_long_findings_on_one_line() -> None:
    out = io.StringIO()
    doctor.render([Check("x", True, "word " * 60)], Console(file=out, width=40))
    assert len(out.getvalue().splitlines()) == 2
