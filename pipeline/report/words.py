"""Formats numbers, ids and times for people."""

from __future__ import annotations

import math
from datetime import datetime

_LONGEST_ID = 120


def count(value: float | None) -> str:
    """Formats an integer: `237,808`."""
    return "–" if value is None else f"{round(value):,}"


def figure(value: float | None) -> str:
    """Formats a measure to four decimals, or in powers of ten if four decimals are not enough."""
    if value is None or not math.isfinite(value):
        return "–"
    return _minus(f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3g}")


def signed(value: float | None) -> str:
    """Formats a difference with its sign."""
    return figure(value) if value is None or value < 0 else f"+{figure(value)}"


def two_digits(value: float) -> str:
    """Formats a cosine or a score in a list: signed, two decimals."""
    return _minus(f"{value:+.2f}")


def short(value: float) -> str:
    """Formats a number for a tick or a sentence with few digits."""
    if value and abs(value) >= 1e4:
        for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return _minus(f"{value / size:.3g}{unit}")
    return _minus(f"{value:.4g}")


def _minus(text: str) -> str:
    """Uses a minus sign instead of a hyphen. It is as wide as a plus, and screen readers read it correctly."""
    return "−" + text[1:] if text.startswith("-") else text


def share(value: float | None) -> str:
    """Formats a fraction in percent."""
    return "–" if value is None else f"{100 * value:.3g} %"


def seconds(value: float) -> str:
    """Formats a duration: `0.04 s`, `32.2 s`, `5 min 07 s`, `2 h 05 min`."""
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float) -> str:
    """Formats a number of bytes."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f} bytes"


def moment(text: str) -> str:
    """Formats an ISO time as `25 November 2026, 22:07 UTC`."""
    when = datetime.fromisoformat(text)
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".rstrip()


def readable_id(raw: bytes) -> str:
    """Returns an id as visible text. Escapes invisible and invalid characters.

    Nothing in an id can therefore change the direction of the surrounding text, or hide. Cuts long ids.
    """
    text = raw.decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _LONGEST_ID else text[: _LONGEST_ID - 1] + "…"
