"""The spans of a path: which of them a run reads, and how much their rows count."""

from __future__ import annotations

import dataclasses
import datetime

from components.pair_example_gen.settings import DataSettings, SpanBound, SpanSettings
from components.pair_example_gen.source import Found, fill_in, find_files, has_span, span_numbers
from errors import InputError

_EPOCH = datetime.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True)
class Span:
    """A span.

    Attributes:
      number: its number, or the days of its date since 1970. 0 for a path without spans.
      version: its latest version, or None.
      pattern: the glob pattern of its files.
    """

    number: int
    version: int | None
    pattern: str


def choose(base: str, pattern: str, settings: DataSettings, files: list[str] | None = None) -> list[Span]:
    """Returns the spans that a run reads, oldest first, each in its latest version.

    Args:
      base: base directory.
      pattern: pattern below it.
      settings: which spans are wanted.
      files: the files that match, if they are known. Otherwise they are looked for.

    Raises:
      InputError: the path has no span, or no span is between the bounds.
    """
    if not has_span(pattern):
        _refuse_spans(pattern, settings)
        return [Span(0, None, pattern)]
    found: dict[int, dict[str, int]] = {}
    for numbers in span_numbers(base, pattern, files):
        span = _number(numbers, pattern)
        if numbers.get("VERSION", 0) >= found.get(span, {}).get("VERSION", 0):
            found[span] = numbers
    chosen = _within(sorted(found), settings.spans, has_dates="YYYY" in next(iter(found.values())))
    return [Span(span, found[span].get("VERSION"), fill_in(pattern, found[span])) for span in chosen]


def _refuse_spans(pattern: str, settings: DataSettings) -> None:
    by_span = settings.age_weight is not None and settings.age_weight.by == "span"
    if settings.spans != SpanSettings(latest=1) or by_span:
        key = "data.age_weight.by: span" if by_span else "data.spans"
        raise InputError(
            f"{key} needs spans, but data.path has none (got {pattern!r}). Write {{SPAN}}, or {{YYYY}}, {{MM}} and "
            "{DD}, in place of the number or the date"
        )


def _number(numbers: dict[str, int], pattern: str) -> int:
    if "SPAN" in numbers:
        return numbers["SPAN"]
    year, month, day = (numbers[name] for name in ("YYYY", "MM", "DD"))
    try:
        return (datetime.date(year, month, day) - _EPOCH).days
    except ValueError:
        raise InputError(
            f"data.path: {pattern}: {year:04d}-{month:02d}-{day:02d} is not a date. Move its files elsewhere"
        ) from None


def _within(spans: list[int], wanted: SpanSettings, has_dates: bool) -> list[int]:
    first, last = (_bound(name, getattr(wanted, name), has_dates) for name in ("first", "last"))
    chosen = [span for span in spans if (first is None or span >= first) and (last is None or span <= last)]
    if not chosen:
        ends = " to ".join(dict.fromkeys(label(span, has_dates) for span in (spans[0], spans[-1])))
        raise InputError(f"data.spans: there is no span between first and last. There are {len(spans):,}: {ends}")
    return chosen if wanted.latest is None else chosen[-wanted.latest :]


def _bound(name: str, bound: SpanBound | None, has_dates: bool) -> int | None:
    if bound is None:
        return None
    if isinstance(bound, datetime.date) != has_dates:
        kind = "dates, so the bound must be a date as YYYY-MM-DD" if has_dates else "numbers, so it must be a number"
        raise InputError(f"data.spans.{name}: the spans of data.path are {kind} (got {bound})")
    return (bound - _EPOCH).days if isinstance(bound, datetime.date) else bound


def label(span: int, has_dates: bool) -> str:
    """Returns a span as people write it: a number or a date."""
    return (_EPOCH + datetime.timedelta(span)).isoformat() if has_dates else str(span)


def find_all(base: str, spans: list[Span], span_filled_in: bool = True) -> tuple[Found, list[int]]:
    """Returns the files of all spans, oldest span first, and the age of each file in spans.

    The age is the difference of the numbers of its span and of the newest one. For dates, these are days.
    """
    found = [find_files(base, span.pattern, span_filled_in) for span in spans]
    ages = [spans[-1].number - span.number for span, of_span in zip(spans, found, strict=True) for _ in of_span.files]
    together = Found(
        [file for of_span in found for file in of_span.files], [skip for of_span in found for skip in of_span.skipped]
    )
    return together, ages
