"""Digests of code: the files that count, found without imports."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from kindred import PACKAGES, entry
from pipeline.running import code_digest
from pipeline.running.code_digest import SourceTree
from tests import source_files
from tests.source_files import REPOSITORY


def tree(folder: Path, **texts: str) -> SourceTree:
    """Creates files by name, with `__` for a directory: `trainer__a="import x"` is trainer/a.py."""
    for name, text in texts.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.py"):
        (path.parent / "__init__.py").touch()
    return SourceTree(folder)


def test_imports_match_python_parser() -> None:
    program, modules = SourceTree(REPOSITORY), list(source_files.modules(REPOSITORY))
    assert len(modules) > 100
    for module in modules:
        assert source_files.imports(REPOSITORY, module) <= program.imports(module), module


def test_closures_match_imports() -> None:
    """Besides import statements, only strings and the packages of a module add modules."""
    program = SourceTree(REPOSITORY)
    for module in source_files.modules(REPOSITORY):
        text = source_files.file_of(REPOSITORY, module).read_text(encoding="utf-8")
        for extra in program.imports(module) - source_files.imports(REPOSITORY, module):
            is_package = any(other.startswith(f"{extra}.") for other in program.imports(module))
            is_quoted = extra in text or any(name in text for name in code_digest.PROGRAMS)
            assert is_package or is_quoted, (module, extra)


@pytest.mark.parametrize(
    "text",
    [
        "import trainer.b",
        "import os, trainer.b as c",
        "from trainer import a, b",
        "from trainer import (\n    c,  # with a comment (of its own)\n    b as d,\n)",
        "from trainer.b import function",
        "from trainer.b import *",
        "from . import b",
        "from .b import function",
        "from .inner.deep import nothing",
        "def f():\n    from trainer import b\n    return b",
        "if sys.platform: import trainer.b",
        "import os; import trainer.b",
        "from trainer \\\n    import b",
        "try:\n    import x\nexcept ImportError:\n\tfrom trainer import b",
        "importlib.import_module('trainer.b')",
        'Trainer(run_fn="trainer.b.run_fn")',
        "subprocess.run([python, '-m', 'trainer.b'])",
        "subprocess.run(['kindred-model-server'])",
    ],
)
def test_all_import_forms_are_found(tmp_path: Path, text: str) -> None:
    program = tree(
        tmp_path,
        trainer__a=text,
        trainer__b="",
        trainer__c="",
        trainer__inner__deep="from .. import b",
        serving__model_server__main="from trainer import b",
    )
    assert "trainer.b" in program.closure(["trainer.a.function"])


@pytest.mark.parametrize(
    "text",
    [
        "# import trainer.b",
        "import trainer.bb",
        "from trainer import d as b",
        "import b",
        "from other.trainer import b",
        "important = trainer.b",
        "x = 'trainer.b is good'",
        "if TYPE_CHECKING:\n    from trainer import b\n\nimport os",
    ],
)
def test_other_text_is_not_an_import(tmp_path: Path, text: str) -> None:
    program = tree(tmp_path, trainer__a=text, trainer__b="", trainer__d="", b="")
    assert "trainer.b" not in program.closure(["trainer.a"])


def test_import_after_type_checking_block_is_found(tmp_path: Path) -> None:
    text = "if TYPE_CHECKING:\n    import x\n\n    import y\nfrom trainer import b"
    assert "trainer.b" in tree(tmp_path, trainer__a=text, trainer__b="").closure(["trainer.a"])


def test_relative_import_starts_at_package(tmp_path: Path) -> None:
    tree(tmp_path, trainer__inner__a="from . import b", trainer__inner__b="")
    (tmp_path / "trainer/inner/__init__.py").write_text("from .a import x")
    assert SourceTree(tmp_path).closure(["trainer.inner"]) == {
        "trainer", "trainer.inner", "trainer.inner.a", "trainer.inner.b"
    }  # fmt: skip


def test_circular_imports_end(tmp_path: Path) -> None:
    program = tree(tmp_path, trainer__a="import trainer.b", trainer__b="import trainer.a")
    assert program.closure(["trainer.a"]) == {"trainer", "trainer.a", "trainer.b"}


def test_foreign_names_are_ignored(tmp_path: Path) -> None:
    program = tree(tmp_path, trainer__a="")
    assert (
        program.closure(["tfx.components.trainer.executor.Executor", "", "a sentence. trainer", "trainerx.a"]) == set()
    )


def _digest(folder: Path) -> str:
    return SourceTree(folder).digest(["trainer.a.run"])


def test_only_imported_files_change_digest(tmp_path: Path) -> None:
    tree(tmp_path, trainer__a="import trainer.b", trainer__b="import trainer.c", trainer__c="x = 1", trainer__d="")
    before = _digest(tmp_path)
    assert re.fullmatch("[0-9a-f]{16}", before)
    (tmp_path / "trainer/d.py").write_text("x = 1")
    (tmp_path / "trainer/new.py").write_text("x = 1")
    (tmp_path / "trainer/README.md").write_text("Read me.")
    assert _digest(tmp_path) == before
    (tmp_path / "trainer/c.py").write_text("x = 2")
    assert _digest(tmp_path) != before
    (tmp_path / "trainer/c.py").write_text("x = 1")
    assert _digest(tmp_path) == before
    (tmp_path / "trainer/__init__.py").write_text("import os")
    assert _digest(tmp_path) != before


def test_template_changes_digest(tmp_path: Path) -> None:
    tree(tmp_path, trainer__a="", trainer__inner__b="")
    before = _digest(tmp_path)
    (tmp_path / "trainer/inner/other.txt").write_text("not imported")
    assert _digest(tmp_path) == before
    (tmp_path / "trainer/templates").mkdir()
    (tmp_path / "trainer/templates/card.jinja").write_text("one")
    after = _digest(tmp_path)
    assert after != before
    (tmp_path / "trainer/templates/card.jinja").write_text("two")
    assert _digest(tmp_path) not in (before, after)


def test_moved_module_changes_digest(tmp_path: Path) -> None:
    tree(tmp_path, trainer__a="from trainer import b, c", trainer__b="x = 1", trainer__c="")
    before = _digest(tmp_path)
    (tmp_path / "trainer/b.py").rename(tmp_path / "trainer/c.py")
    assert _digest(tmp_path) != before


def test_location_does_not_change_digest(tmp_path: Path) -> None:
    for place in ("one", "two"):
        tree(tmp_path / place, trainer__a="import trainer.b", trainer__b="")
    assert _digest(tmp_path / "one") == _digest(tmp_path / "two")


@pytest.mark.parametrize(
    "library", ["tensorflow", "tensorflow-transform", "tfx", "apache-beam", "keras", "pyarrow", "numpy"]
)
def test_library_version_changes_digest(tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = SourceTree(tmp_path).digest([])
    versions = dict(code_digest.library_versions())
    assert versions[library]
    changed = tuple({**versions, library: "0.0"}.items())
    monkeypatch.setattr(code_digest, "library_versions", lambda: changed)
    assert SourceTree(tmp_path).digest([]) != before


def test_packages_match_wheel() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^module-name = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    assert re.findall(r'"(\w+)"', listed) == list(PACKAGES) == sorted(PACKAGES)


def test_programs_match_entry_points() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for program, module in code_digest.PROGRAMS.items():
        (function,) = re.findall(rf'^{program} = "kindred\.entry:(\w+)"$', text, re.MULTILINE)
        assert f"from {module} import main as run" in inspect.getsource(getattr(entry, function))


def test_module_names_are_literals() -> None:
    """Imports of computed names would not be found."""
    for folder in ("components", "trainer"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for argument in re.findall(r"import_module\(([^)]*)", path.read_text(encoding="utf-8")):
                assert re.fullmatch(r"""["'][\w.]+["']""", argument), path
