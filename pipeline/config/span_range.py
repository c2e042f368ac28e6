"""The value of `--span`: one span, or a range of spans."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Iterator

from errors import ConfigError

_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class SpanRange:
    """Spans from `first` to `last`, both included: numbers, or dates.

    Example:
      >>> [str(span) for span in SpanRange.parse("2026-02-27..2026-03-01")]
      ['2026-02-27', '2026-02-28', '2026-03-01']
    """

    first: int | datetime.date
    last: int | datetime.date

    @classmethod
    def parse(cls, text: str) -> SpanRange:
        """Returns the range that `text` names: `12`, `12..18`, `2026-01-31` or `2026-01-01..2026-01-31`.

        Raises:
          ConfigError: `text` is not such a range, or its end is before its beginning.
        """
        first, dots, last = text.partition("..")
        bounds = [_bound(word, text) for word in ((first, last) if dots else (first, first))]
        if type(bounds[0]) is not type(bounds[1]):
            raise ConfigError(f"--span: both ends must be numbers, or both dates (got {text!r})")
        if bounds != sorted(bounds):
            raise ConfigError(f"--span: the first span must not be after the last (got {text!r})")
        return cls(*bounds)

    def __iter__(self) -> Iterator[int | datetime.date]:
        """Yields each span of the range, in order."""
        if isinstance(self.first, datetime.date) and isinstance(self.last, datetime.date):
            for days in range((self.last - self.first).days + 1):
                yield self.first + days * _DAY
        elif isinstance(self.first, int) and isinstance(self.last, int):
            yield from range(self.first, self.last + 1)

    @property
    def is_one(self) -> bool:
        """Whether the range is a single span."""
        return self.first == self.last


def _bound(word: str, text: str) -> int | datetime.date:
    if re.fullmatch(r"[0-9]{1,18}", word):
        return int(word)
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", word):
            return datetime.date.fromisoformat(word)
    except ValueError:
        pass
    raise ConfigError(
        f"--span: must be a span or a range of spans, such as 12, 12..18 or 2026-01-01..2026-01-31 (got {text!r})"
    )
