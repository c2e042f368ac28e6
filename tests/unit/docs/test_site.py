"""The pages of the site: links stay, references have every command and name, and the navigation has every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.site import pages, references
from bootstrap.site.__main__ import main
from tests.unit.docs.pages import ROOT

_GENERATED = {"docs/reference/commands.md", "docs/reference/python-api.md"}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    pages.collect(ROOT, folder)
    return folder


def test_linked_files_are_collected(collected: Path) -> None:
    for page in collected.rglob("*.md"):
        assert [path for path in pages.linked(page) if not path.exists()] == []


def test_pages_without_links_to_them_are_collected(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[a](other/a.md#part) [b](https://x.y) ```[c](c.md)```\n```\n[d](d.md)\n```\n")
    (tmp_path / "docs" / "alone.md").write_text("[back](../README.md)")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.md").write_text("[data](a.csv) [folder](../docs2)")
    (tmp_path / "other" / "a.csv").write_text("1")
    (tmp_path / "docs2").mkdir()
    (tmp_path / "docs2" / "README.md").write_text("")
    (tmp_path / "c.md").write_text("")
    pages.collect(tmp_path, tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"README.md", "c.md", "docs/alone.md", "other/a.md", "other/a.csv", "docs2/README.md"}


def test_navigation_has_every_page_of_docs() -> None:
    listed = re.findall(r": ((?:docs/)?[\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    written = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    reached = {path for path in listed if path.startswith("docs/")} - _GENERATED
    assert reached == {path for path in written if not re.match(r"docs/decisions/\d", path)}
    assert [path for path in listed if path not in _GENERATED and not (ROOT / path).is_file()] == []


def test_reference_has_every_command() -> None:
    page = references.commands()
    for words in ("run", "recommend", "schedule create", "submit"):
        assert f"\n## kindred {words}\n" in page
    assert "`--accept-anomalies REASON`" in page and "Overrule the data gate once." in page


@pytest.mark.tensorflow
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    assert main(["--site-dir", str(tmp_path / "site")]) == 0
    assert "What the score means" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    loaded = r"""(?:<script[^>]*src|<link[^>]*rel=.?stylesheet[^>]*href)=["']?(https?:[^"' >]+)"""
    for page in (tmp_path / "site").rglob("*.html"):
        assert re.findall(loaded, page.read_text(encoding="utf-8")) == []


@pytest.mark.tensorflow
def test_reference_has_every_public_name() -> None:
    from kindred import api

    page = references.python_api()
    assert [name for name in api.__all__ if f"\n## {name}\n" not in page] == []
    assert "Model.score_pairs(left: Iterable[Id], right: Iterable[Id]) -> pa.Table" in page
    assert "- `k`: the length of the ranking. It is shorter if there are fewer entities." in page
