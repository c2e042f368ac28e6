"""Positions in charts."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.cells import cell_len

from pipeline.report import charts, data
from pipeline.report.charts import Axis, Dot, Series

pytestmark = pytest.mark.tensorflow

_SVG = "{http://www.w3.org/2000/svg}"


def _read(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(markup).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def _points(drawing: ElementTree.Element, style: str) -> list[tuple[float, float]]:
    (line,) = (one for one in drawing.iter(f"{_SVG}polyline") if one.get("class", "").endswith(style))
    return [tuple(map(float, point.split(","))) for point in line.get("points", "").split()]  # type: ignore[misc]


def test_lines_share_a_scale() -> None:
    series = [Series("a", [(1, 0), (2, 10)], "train"), Series("b", [(1, 10), (2, 0)], "held-out")]
    drawing = _read(charts.lines("x", "", series, Axis("epoch"), Axis("loss")))
    (x1, y1), (x2, y2) = _points(drawing, " train")
    assert x1 < x2 and y1 > y2, "higher values are further up"
    assert _points(drawing, " held-out") == [(x1, y2), (x2, y1)]


def test_power_law_is_straight_line() -> None:
    power_law = [(10.0**i, 10.0 ** (6 - 2 * i)) for i in range(4)]
    axis = Axis("", log=True)
    points = _points(_read(charts.lines("zipf", "", [Series("a", power_law, "train")], axis, axis)), " train")
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points)]
    assert max(slopes) == pytest.approx(min(slopes), rel=1e-3)


def test_histogram_has_step_per_bin() -> None:
    series = [Series("train", [(0.0, 0.25), (1.0, 0.75)], "split-train")]
    drawing = _read(charts.histogram("scores", "", [0, 1, 2], series, Axis("score"), Axis("share")))
    points = _points(drawing, "split-train")
    assert len(points) == 6
    assert points[0][1] == points[-1][1] == max(y for _, y in points)
    heights = [points[0][1] - y for _, y in points[1:-1]]
    assert heights[2] == pytest.approx(3 * heights[0], abs=0.05)


def test_dots_and_intervals_share_a_scale() -> None:
    dots = [Dot(0.5, "candidate", 0.4, 0.6), Dot(1.0, "mean")]
    drawing = _read(charts.dots("rmse", "", [("all", dots)], Axis("rmse")))
    (interval,) = (one for one in drawing.iter(f"{_SVG}line") if one.get("class") == "interval candidate")
    (circle,) = drawing.iter(f"{_SVG}circle")
    (mean,) = (one for one in drawing.iter(f"{_SVG}path") if one.get("class") == "mark mean")
    low, high, at = float(interval.get("x1", 0)), float(interval.get("x2", 0)), float(circle.get("cx", 0))
    assert at == pytest.approx((low + high) / 2, abs=0.02)
    beyond = float(re.match(r"M([\d.]+)", mean.get("d", "")).group(1))  # type: ignore[union-attr]
    assert (beyond - at) / (high - low) == pytest.approx(2.5, abs=0.01)


@pytest.mark.parametrize("label", ["all", "label negative, 12 rows", "both ids known, 29 rows", "語" * 12])
def test_longest_label_is_inside_the_drawing(label: str) -> None:
    rows = [("all", [Dot(0.5, "candidate")]), (label, [Dot(1.0, "mean")])]
    drawing = _read(charts.dots("rmse", "", rows, Axis("rmse")))
    texts = {text.text: text for text in drawing.iter(f"{_SVG}text") if text.get("class") == "label"}
    assert texts[label].get("text-anchor") == "end"
    # Characters of 11.5 px are at most 6.6 px wide, and those of East Asia twice as wide.
    assert float(texts[label].get("x", 0)) >= 6.6 * cell_len(label)
    (circle,) = drawing.iter(f"{_SVG}circle")
    assert float(texts[label].get("x", 0)) < float(circle.get("cx", 0)) < 400


@pytest.mark.parametrize("bound", [None, 0.5, -3.0])
def test_strip_draws_bound_if_any(bound: float | None) -> None:
    drawing = _read(charts.interval("label", 0.5, 0.4, 0.6, bound))
    drawn = [one for one in drawing.iter(f"{_SVG}line") if one.get("class") == "bound"]
    assert len(drawn) == (bound is not None)
    assert all(0 <= float(one.get("x1", -1)) <= 160 for one in drawn)
    assert drawing.get("aria-label") == "label"


def test_chart_labels_are_escaped() -> None:
    told = '<script>"&'
    series = [Series(told, [(1, 1)], "train")]
    drawing = _read(charts.lines(told, told, series, Axis(told), Axis(told), [Series(told, [(1, 1)], "train")]))
    assert told in [text.text for text in drawing.iter(f"{_SVG}text")]
    assert not list(drawing.iter(f"{_SVG}script"))
    assert "<script>" not in charts.legend([("train", told)])


def _histogram(scores: dict[str, list[float]]) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Returns edges and heights of the drawn bins."""
    edges = data._edges([np.sort(np.array(one, np.float32)) for one in scores.values()])
    return edges, {name: np.histogram(one, edges)[0].tolist() for name, one in scores.items()}


def test_each_star_has_its_bin() -> None:
    edges, heights = _histogram({"train": [1, 2, 2, 3, 5, 5, 5], "eval": [2, 4]})
    assert edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert heights == {"train": [1, 2, 1, 0, 3], "eval": [0, 1, 0, 1, 0]}


def test_outliers_do_not_stretch_bins() -> None:
    draw = np.random.default_rng(1)
    edges, heights = _histogram(
        {"train": [*draw.normal(size=9_990), *[1e6] * 5], "eval": draw.normal(size=500).tolist()}
    )
    assert len(edges) == 49 and -5 < edges[0] < -2 and 2 < edges[-1] < 5
    assert np.allclose(np.diff(edges), np.diff(edges)[0])
    assert sum(heights["train"]) >= 9_990 * 0.997


@pytest.mark.parametrize("scores", [[0.0], [2.5] * 7])
def test_single_value_has_a_bin(scores: list[float]) -> None:
    edges, heights = _histogram({"train": scores})
    assert edges.tolist() == [scores[0] - 0.5, scores[0] + 0.5] and heights["train"] == [len(scores)]
