"""Writes the record of a run also when the disk is full: the space for it is reserved while there is some."""

from __future__ import annotations

import contextlib
import time

from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord

# A record has some kilobytes, and thousands of trials make some hundreds.
_RESERVED = 256 << 10


class RecordFile:
    """The file of a record, with a reserve on its disk.

    Args:
      record: the record.
      folder: the folder of the run.

    Attributes:
      fault: why the last write failed, or None.
    """

    def __init__(self, record: RunRecord, folder: RunFolder) -> None:
        self._record, self._file = record, folder.summary
        self._reserve = folder.reserve
        self._since = time.monotonic()
        self.fault: OSError | None = None
        with contextlib.suppress(OSError):
            self._reserve.write_bytes(bytes(_RESERVED))

    def save(self) -> None:
        """Writes the record during the run. Raises no `OSError`, see `fault`."""
        self.fault = self._write()

    def finish(self) -> None:
        """Writes the record of the ended run in the place of the reserve. Raises no `OSError`, see `fault`."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        self.fault = self._write()

    def _write(self) -> OSError | None:
        try:
            self._record.write(self._file, self._since)
        except OSError as error:
            return error
        return None
