"""Lists on pages are consistent with the program and with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.site import references
from tests.unit.docs.pages import ROOT

_DECISIONS = ROOT / "docs" / "decisions"
_CANARY = ("components", "serving_canary")
_RECORDS = sorted(_DECISIONS.glob("0*.md"))


def _text(*names: str) -> str:
    return ROOT.joinpath(*names).read_text(encoding="utf-8")


def _first_cells(page: str) -> list[str]:
    """Returns the first cell of every row in the tables of a page."""
    return re.findall(r"^\| (.+?) \|", page, re.MULTILINE)


def test_every_decision_is_in_the_index() -> None:
    index = _text("docs", "decisions", "README.md")
    assert [path.name for path in _RECORDS if f"({path.name})" not in index] == []


def test_index_lists_every_decision() -> None:
    listed = re.findall(r"^\| \[?(\d+)", _text("docs", "decisions", "README.md"), re.MULTILINE)
    assert [int(number) for number in listed] == list(range(1, max(int(path.name[:4]) for path in _RECORDS) + 1))


@pytest.mark.parametrize("record", _RECORDS, ids=lambda path: path.stem)
def test_every_decision_names_rejected_options(record: Path) -> None:
    assert re.search(r"^\*\*Rejected\.\*\*\n- ", record.read_text(encoding="utf-8"), re.MULTILINE)


def test_gate_page_names_every_rule() -> None:
    rules = re.findall(r'"(validate\.\w+|data\.\w+|schema|score varies)"', _text("components", "data_gate", "rules.py"))
    named = {cell.strip("`") for cell in _first_cells(_text("components", "data_gate", "README.md"))}
    assert named - {"rule"} == set(rules)


def test_report_page_names_every_section() -> None:
    titles = re.findall(r'Section\(\s*"[^"]+",\s*"([^"]+)"', _text("pipeline", "report", "page.py"))
    assert len(titles) > 10
    assert _first_cells(_text("docs", "report.md")) == ["part", "the top", *titles]


def test_page_of_json_names_every_command() -> None:
    cells = " ".join(_first_cells(_text("docs", "reference", "json.md")))
    named = {words for words in re.findall(r"`(.+?)`", cells) if "--" not in words}
    commands = set(re.findall(r"^## kindred (.+)$", references.commands(), re.MULTILINE))
    assert named == commands - {"serve"}


def test_guide_of_own_trainer_quotes_example() -> None:
    (quoted,) = re.findall(r"```python\n(.*?)```", _text("docs", "guides", "own-trainer.md"), re.DOTALL)
    code = _text("examples", "own_trainer", "svd.py")
    assert quoted == "".join(line for line in code[code.index("def ") :].splitlines(True) if '"""' not in line)


def test_guide_of_own_pipelines_quotes_example() -> None:
    page = _text("docs", "guides", "components-in-your-own-pipeline.md")
    code = set(_text("examples", "tfx_pipeline", "graph.py").splitlines())
    quoted = [line for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(quoted) > 10
    assert [line for line in quoted if line not in code] == []


def test_guide_of_own_pipelines_lists_arguments() -> None:
    from components.batch_lists.component import BatchLists
    from components.data_gate.component import DataGate
    from components.declaration import Component
    from components.evaluator.component import PairEvaluator
    from components.pair_statistics.component import PairStatisticsGen
    from components.pusher.component import VersionPusher
    from components.ranking_evaluator.component import RankingEvaluator
    from components.replay.component import ReplayCheck
    from components.serving_canary.component import ServingCanary
    from components.tuner.component import Tuner

    page = _text("docs", "guides", "components-in-your-own-pipeline.md")
    kinds: list[type[Component]] = [
        PairStatisticsGen, DataGate, Tuner, RankingEvaluator, PairEvaluator, ServingCanary, ReplayCheck, BatchLists,
        VersionPusher,
    ]  # fmt: skip
    for kind in kinds:
        (row,) = re.findall(rf"^\| `{kind.__name__}` \|.*$", page, re.MULTILINE)
        *_, required, optional, _ = row.split("|")
        arguments = {*kind.SPEC_CLASS.INPUTS, *kind.SPEC_CLASS.PARAMETERS}
        assert set(re.findall(r"`(\w+)`", optional)) == set(kind.DEFAULTS)
        assert set(re.findall(r"`(\w+)`", required)) == arguments - set(kind.DEFAULTS)


def test_component_guide_quotes_canary() -> None:
    blocks = re.findall(r"```python\n(.*?)```", _text("docs", "guides", "add-a-component.md"), re.DOTALL)
    code = {line for name in ("component.py", "executor.py") for line in _text(*_CANARY, name).splitlines()}
    assert len(blocks) == 2
    assert [line for block in blocks for line in block.splitlines() if line not in code] == []
