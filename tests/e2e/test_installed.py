"""The wheel in its own environment, in a directory outside the repository."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import zipfile
from pathlib import Path

import pytest

from bootstrap import check_wheel, create_venv
from kindred import PACKAGES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    uv = create_venv.find_uv() or create_venv.installed_uv()
    if uv is None:
        pytest.skip("uv is neither on PATH nor under build/; it builds the wheel")
    return check_wheel.build_wheel(uv, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the packages of this environment."""
    uv = str(create_venv.find_uv() or create_venv.installed_uv())
    venv = tmp_path_factory.mktemp("installed").resolve() / "venv"
    check_wheel.new_environment(uv, venv)
    check_wheel.share_packages(venv, Path(sysconfig.get_path("platlib")))
    check_wheel.install_wheel(uv, venv, wheel)
    return venv


def run(command: list[object], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**check_wheel.environment(), **variables}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_wheel_has_every_data_file(wheel: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(wheel) as archive:
        assert set(tracked.stdout.splitlines()) <= set(archive.namelist())


def test_commands_run_outside_repository(venv: Path, tmp_path: Path) -> None:
    check_wheel.try_commands(venv, tmp_path)
    package = (tmp_path / "package.yaml").read_text(encoding="utf-8")
    assert "kindred" in package and str(REPOSITORY) not in package


def test_server_prints_version(venv: Path, tmp_path: Path) -> None:
    done = run([venv / "bin" / "kindred-model-server", "--version"], tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("kindred-model-server 0.")


@pytest.mark.parametrize("package", ["pipeline", "trainer", "components", "schemas", "sections", "serving", "errors"])
def test_foreign_package_with_same_name_is_refused(venv: Path, tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    for program in ("kindred", "kindred-model-server"):
        done = run([venv / "bin" / program, "--help"], tmp_path, PYTHONPATH=str(tmp_path))
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {tmp_path / package} hides the package {package} of Kindred, because")
        assert "Rename it" in line


def test_module_in_working_directory_is_refused(venv: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("raise RuntimeError('must not run')")
    done = run([venv / "bin" / "python", "-m", "kindred", "--help"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'pipeline.py'} hides the package pipeline of Kindred")


def test_folders_without_python_code_hide_nothing(venv: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "schemas").mkdir()
    done = run([venv / "bin" / "python", "-m", "kindred", "--version"], tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_missing_package_is_named(venv: Path, tmp_path: Path) -> None:
    (site,) = venv.glob("lib/python*/site-packages")
    os.rename(site / "schemas", tmp_path / "schemas")
    try:
        done = run([venv / "bin" / "kindred", "--version"], tmp_path)
    finally:
        os.rename(tmp_path / "schemas", site / "schemas")
    assert done.returncode == 2
    assert done.stderr == f"error: {site / 'schemas'} is missing. Install Kindred again.\n"
