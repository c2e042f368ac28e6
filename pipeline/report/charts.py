"""SVG charts. The stylesheet sets the colors, so that charts match light mode, dark mode and print.

Every chart has a name and a text description for accessibility.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape
from rich.cells import cell_len

from pipeline.report import words
from pipeline.report.scales import Scale, linear, logarithmic

_WIDTH, _HEIGHT = 400, 240
_CHARACTER = 7.4
"""The width of a digit of a label (11.5 px), in wide fonts without serifs. Most letters are narrower."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 26, 40


@dataclasses.dataclass(frozen=True)
class Series:
    """A named row of points. `style` is a class of the stylesheet."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
      title: its label.
      log: whether it is logarithmic.
      hold: numbers that a linear axis must include.
      whole: whether it counts something, so that its ticks are whole numbers.
    """

    title: str
    log: bool = False
    hold: tuple[float, ...] = ()
    whole: bool = False


def lines(
    name: str, described: str, series: Sequence[Series], x: Axis, y: Axis, marks: Sequence[Series] = ()
) -> Markup:
    """Draws lines through the points of each series, and `marks` as single labeled points."""
    points = [point for one in (*series, *marks) for point in one.points]
    x_scale, y_scale = _scales(points, x, y)
    parts = [_axes(x_scale, y_scale, x, y)]
    for one in series:
        path = " ".join(f"{x_scale(a)},{y_scale(b)}" for a, b in one.points)
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(one.style, path))
        if len(one.points) == 1:
            parts.append(_mark(x_scale(one.points[0][0]), y_scale(one.points[0][1]), one.style))
    for mark in marks:
        for a, b in mark.points:
            parts.append(_mark(x_scale(a), y_scale(b), mark.style))
            anchor = "end" if x_scale(a) > (_WIDTH + _LEFT) / 2 else "start"
            parts.append(_text(x_scale(a), y_scale(b) - 9, mark.name, "note", anchor))
    return _figure(name, described, parts)


def histogram(name: str, described: str, edges: Sequence[float], series: Sequence[Series], x: Axis, y: Axis) -> Markup:
    """Draws step lines with points (edge, height of the bin that begins there). Fills the first series."""
    heights = [height for one in series for _, height in one.points]
    x_scale = linear(min((*edges, *x.hold)), max((*edges, *x.hold)), _LEFT, _WIDTH - _RIGHT)
    y_scale = linear(0, max(heights, default=0) or 1, _HEIGHT - _BOTTOM, _TOP)
    parts = [_axes(x_scale, y_scale, x, y)]
    parts += [_line(x_scale(held), _TOP, x_scale(held), _HEIGHT - _BOTTOM, "reference") for held in x.hold]
    for one in series:
        steps = [(edges[0], 0.0)]
        for (start, height), end in zip(one.points, edges[1:], strict=True):
            steps += [(start, height), (end, height)]
        path = " ".join(f"{x_scale(a)},{y_scale(b)}" for a, b in (*steps, (edges[-1], 0.0)))
        parts.append(Markup('<polyline class="step {}" points="{}"/>').format(one.style, path))
    return _figure(name, described, parts)


@dataclasses.dataclass(frozen=True)
class Dot:
    """A value in a row of a dot plot, with an optional interval. `style` identifies the model."""

    value: float
    style: str
    low: float | None = None
    high: float | None = None


def dots(name: str, described: str, rows: Sequence[tuple[str, Sequence[Dot]]], x: Axis) -> Markup:
    """Draws one row of dots per label on a common scale."""
    row, top = 22, 6
    # Room for the longest label. Paper and narrow screens have none beside the chart.
    longest = max((cell_len(words_) for words_, _ in rows), default=0)
    label = min(max(136, 16 + math.ceil(_CHARACTER * longest)), _WIDTH - 120)
    height = top + row * len(rows) + _BOTTOM
    values = [v for _, row_dots in rows for dot in row_dots for v in (dot.value, dot.low, dot.high) if v is not None]
    scale = linear(min((*values, *x.hold)), max((*values, *x.hold)), label, _WIDTH - _RIGHT)
    bottom = height - _BOTTOM
    parts = [
        *_x_ticks(scale, top, bottom),
        _text((label + _WIDTH - _RIGHT) / 2, height - 6, x.title, "title", "middle"),
    ]
    for number, (words_, row_dots) in enumerate(rows):
        y = top + row * (number + 0.5)
        parts.append(_line(label, y, _WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(label - 8, y + 4, words_, "label", "end"))
        # Draw the other models behind the candidate.
        for dot in sorted(row_dots, key=lambda dot: dot.style == "candidate"):
            if dot.low is not None and dot.high is not None:
                parts.append(_line(scale(dot.low), y, scale(dot.high), y, f"interval {dot.style}"))
            parts.append(_mark(scale(dot.value), y, dot.style))
    return _figure(name, described, parts, height)


def interval(described: str, value: float, low: float | None, high: float | None, bound: float | None) -> Markup:
    """Draws a value with its interval and a bound as a strip for a table cell."""
    known = [v for v in (value, low, high, bound) if v is not None]
    room = (max(known) - min(known)) * 0.12 or abs(value) * 0.1 or 1.0
    scale = Scale(min(known) - room, max(known) + room, 6, 154)
    parts = [_line(4, 12, 156, 12, "grid")]
    if low is not None and high is not None:
        parts.append(_line(scale(low), 12, scale(high), 12, "interval candidate"))
    if bound is not None:
        parts.append(_line(scale(bound), 2, scale(bound), 22, "bound"))
    parts.append(_mark(scale(value), 12, "candidate"))
    body = Markup("").join(parts)
    return Markup('<svg class="strip" viewBox="0 0 160 24" role="img" aria-label="{}">{}</svg>').format(described, body)


def _scales(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> tuple[Scale, Scale]:
    xs, ys = [a for a, _ in points] + list(x.hold), [b for _, b in points] + list(y.hold)
    x_scale = _scale(x, xs, _LEFT, _WIDTH - _RIGHT)
    return x_scale, _scale(y, ys, _HEIGHT - _BOTTOM, _TOP)


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> Scale:
    if axis.log:
        return logarithmic(min(values), max(values), start, end)
    return linear(min(values), max(values), start, end, axis.whole)


def _axes(x_scale: Scale, y_scale: Scale, x: Axis, y: Axis) -> Markup:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for place, label in y_scale.ticks:
        parts += [
            _line(_LEFT, place, _WIDTH - _RIGHT, place, "grid"),
            _text(_LEFT - 7, place + 4, label, "tick", "end"),
        ]
    parts += [*_x_ticks(x_scale, bottom, bottom + 4), _line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, "axis")]
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, x.title, "title", "middle"))
    parts.append(_text(0, 12, y.title, "title", "start"))
    return Markup("").join(parts)


def _x_ticks(scale: Scale, top: float, bottom: float) -> Iterable[Markup]:
    end = max(bottom, top) + (0 if bottom - top < 10 else 4)
    for place, label in scale.ticks:
        yield _line(place, top, place, end, "grid")
        # The last label stays inside: paper and narrow screens have no room beside the chart.
        yield _text(min(place, _WIDTH - _CHARACTER * len(label) / 2), end + 13, label, "tick", "middle")


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(style, x1, y1, x2, y2)


def _mark(x: float, y: float, style: str) -> Markup:
    """Draws a dot. Other models have hollow dots or other shapes, so that color is not the only difference."""
    if style == "mean":
        return Markup('<path class="mark mean" d="M{},{} l0,-10"/>').format(x, y + 5)
    if style == "biases":
        return Markup('<path class="mark biases" d="M{},{} l5,5 l-5,5 l-5,-5 z"/>').format(x, y - 5)
    if style == "last_blessed":
        return Markup('<rect class="mark last_blessed" x="{}" y="{}" width="8" height="8"/>').format(x - 4, y - 4)
    if style == "popularity":
        return Markup('<path class="mark popularity" d="M{},{} l5,9 l-10,0 z"/>').format(x, y - 5)
    return Markup('<circle class="mark {}" cx="{}" cy="{}" r="4.5"/>').format(style, x, y)


def _text(x: float, y: float, label: str, style: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(style, x, y, anchor, label)


def _figure(name: str, described: str, parts: Iterable[Markup], height: int = _HEIGHT) -> Markup:
    key = re.sub(r"\W+", "-", name.lower())
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-labelledby="chart-{key} about-{key}">'
        '<title id="chart-{key}">{name}</title><desc id="about-{key}">{desc}</desc>{parts}</svg>'
    ).format(w=_WIDTH, h=height, key=key, name=name, desc=described, parts=Markup("").join(parts))


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Draws a legend of (style, label) pairs."""
    items = []
    for style, label in entries:
        drawn = (
            _mark(10, 7, style)
            if style in ("candidate", "mean", "biases", "last_blessed", "popularity")
            else Markup('<line class="line {}" x1="1" y1="7" x2="19" y2="7"/>').format(style)
        )
        items.append(
            Markup('<li><svg class="key" viewBox="0 0 20 14" aria-hidden="true">{}</svg>{}</li>').format(
                drawn, escape(label)
            )
        )
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))


def described(series: Sequence[Series]) -> str:
    """Describes the first, last and extreme points of each series."""
    sentences = []
    for one in series:
        if one.points:
            (x1, y1), (x2, y2) = one.points[0], one.points[-1]
            sentences.append(
                f"{one.name}: {words.short(y1)} at {words.short(x1)}, {words.short(y2)} at {words.short(x2)}."
            )
    return " ".join(sentences)
