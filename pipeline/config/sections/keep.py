"""Section `keep`: how much of the past a root keeps."""

from __future__ import annotations

from sections import PositiveInt, Section


class Keep(Section):
    """Which runs keep their artifacts, reports and logs. Without a key, all of them.

    Runs that a published version, the cache or the next run needs are kept in addition.

    Attributes:
      runs: the number of newest runs.
      days: the age in days up to which runs are kept.
    """

    runs: PositiveInt | None = None
    days: PositiveInt | None = None
