"""`kindred lineage` as a tree."""

from __future__ import annotations

import io

from rich.console import Console

from pipeline.commands.lineage_tree import as_tree
from pipeline.records.lineage import Lineage, Step


def test_chosen_settings_are_named() -> None:
    step = Step("run", "c0de", {"model": {"dimension": 64}}, "/films/model/1")
    lineage = Lineage("films", "run", model=step, chosen={"model.dimension": 16, "train.als.ridge": None})
    text = io.StringIO()
    tree = as_tree(lineage, {"run_id": "run", "pipeline": "films", "status": "published"})
    Console(file=text, width=200).print(tree)
    assert "the Trainer chose model.dimension 16, train.als.ridge none" in text.getvalue()
    assert lineage.to_json()["chosen"]["model.dimension"] == 16
