"""The page of `kindred monitor`, in the style of the report of a run."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.monitor.compare import Compared
from pipeline.commands.monitor.traffic import SIDES, Log
from pipeline.report.data import score_chart
from pipeline.report.page import environment

PAGE = "monitor.html"


def write_page(path: Path, name: str, log: Log, versions: Sequence[Compared]) -> None:
    """Writes the page. The file appears only when complete.

    Args:
      path: of the page.
      name: of the root.
      log: the log that was read.
      versions: the compared versions.
    """
    charts = [
        score_chart(
            {"train": version.reference.scores, "requests": version.traffic.distribution.scores}, "score of the model"
        )
        if version.reference is not None and version.traffic.scores and len(version.reference.scores)
        else None
        for version in versions
    ]
    template = environment().get_template(PAGE)
    text = template.render(name=name, log=log, versions=list(zip(versions, charts, strict=True)), sides=SIDES)
    staged = path.with_suffix(f".{uuid.uuid4().hex}.staged")
    staged.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(staged, path)
