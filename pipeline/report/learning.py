"""The training of the model: loss by epoch, and warm start."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.records import node_ids
from pipeline.report import charts, words
from pipeline.report.charts import Axis, Series
from pipeline.report.sources import Absent, Run
from trainer.epochs import HELD_OUT, HISTORY_FILE, kept_epoch

_TITLES = {"loss": "Loss", "rmse": "RMSE"}


@dataclasses.dataclass(frozen=True)
class Learning:
    """The learning curves, and sentences about the training."""

    charts: Sequence[tuple[str, Markup, Markup]]  # title, chart, legend
    sentences: Sequence[str]


def learning(run: Run) -> Learning:
    """Returns the learning curves of the run's model, including a cached one."""
    path = Path(run.uri(node_ids.TRAINER, "model_run"), HISTORY_FILE)
    history: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8"))
    names = [name for name in history if not name.startswith(HELD_OUT) and history[name]]
    if not names:
        raise Absent("Training recorded no values per epoch.")
    stopping = _with_choice(run, "train")["early_stopping"] or {}
    best, chooser = kept_epoch(history, stopping.get("min_delta", 0.0))
    ranked = chooser if chooser and _of(chooser) not in _TITLES else None
    monitored = next((name for name in ("rmse", "loss") if name in names), names[0])
    drawn = [_curve(name, history, best if name == monitored else None) for name in dict.fromkeys([monitored, *names])]
    if ranked:
        drawn.insert(0, _curve(_of(ranked), {ranked: history[ranked]}, best))
    return Learning(drawn, list(_sentences(run, history, monitored, best if chooser else None)))


def _curve(name: str, history: dict[str, list[float]], best: int | None) -> tuple[str, Markup, Markup]:
    series = [Series("training pairs", _points(history[name]), "train")] if name in history else []
    held_out = history.get(HELD_OUT + name)
    if held_out:
        series.append(Series("held-out pairs", _points(held_out), "held-out"))
    marks = []
    if best and held_out:
        marks = [Series(f"best: {words.short(held_out[best - 1])}", [(best, held_out[best - 1])], "held-out")]
    title = _TITLES.get(name, name)
    chart = charts.lines(
        f"{title} by epoch", charts.described(series), series, Axis("epoch", whole=True), Axis(title), marks
    )
    key = charts.legend(
        [(one.style, f"{one.name}, {words.figure(one.points[-1][1])} in the last epoch") for one in series]
    )
    return title, chart, key


def _points(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(float(epoch), value) for epoch, value in enumerate(values, start=1)]


def _of(measure: str) -> str:
    """Returns the metric of a measure of held-out pairs."""
    return measure.removeprefix(HELD_OUT)


def _sentences(run: Run, history: dict[str, list[float]], monitored: str, best: int | None) -> Sequence[str]:
    model, train = (_with_choice(run, section) for section in ("model", "train"))
    done, stopping = len(history[monitored]), train["early_stopping"]
    sentences = [
        f"{done} of at most {train['epochs']} epochs with {train['optimizer']}, objective {model['objective']}, "
        f"{model['dimension']} dimensions."
    ]
    if best and stopping:
        held = words.share(stopping["validation_fraction"])
        sentences.append(
            f"Training held out {held} of the training pairs to choose the epoch, and kept epoch {best}"
            + (f", because the next {stopping['patience']} were not better." if done < train["epochs"] else ".")
        )
    warm: dict[str, Any] | None = run.summary.get("warm_start")
    if warm:
        sentences.append(_warm_start(warm))
    return sentences


def _with_choice(run: Run, section: str) -> dict[str, Any]:
    """Returns a section of the pipeline file with the settings that the Trainer chose."""
    chosen = (run.summary.get("search") or {}).get("values", {})
    mine = {key.partition(".")[2]: value for key, value in chosen.items() if key.startswith(f"{section}.")}
    return {**run.config[section], **mine}


def _warm_start(warm_start: dict[str, Any]) -> str:
    if "cold" in warm_start:
        return f"The requested warm start was not possible: {warm_start['cold']}."
    sides = (
        f"{words.count(warm_start[side]['kept'])} {side} entities kept the parent's embeddings, "
        f"{words.count(warm_start[side]['new'])} are new, and {words.count(warm_start[side]['vanished'])} disappeared"
        for side in ("left", "right")
    )
    return f"Warm start: {'. '.join(sides)}."
