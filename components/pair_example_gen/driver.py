"""Selects the span and the files. Replaces TFX's driver, which neither reads subfolders nor fingerprints them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from tfx.components.example_gen import driver, utils
from tfx.components.example_gen.input_processor import FileBasedInputProcessor
from tfx.proto import example_gen_pb2, range_config_pb2

from components.pair_example_gen import files
from components.pair_example_gen.source import find_files, has_span, span_numbers


class Driver(driver.FileBasedDriver):
    """TFX's driver of file-based ExampleGens, with the files that `source.find_files` finds."""

    def get_input_processor(
        self,
        splits: Iterable[example_gen_pb2.Input.Split],
        range_config: range_config_pb2.RangeConfig | None = None,
        input_base_uri: str | None = None,
    ) -> FileBasedInputProcessor:
        """Returns the processor that selects span, version and files."""
        return _Processor(input_base_uri, list(splits), range_config)


class _Processor(FileBasedInputProcessor):
    """Selects the latest span, and its latest version. Data without spans is span 0."""

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """Returns span and version, and computes the fingerprint of all files of this version."""
        (split,) = self._splits
        spanned = has_span(split.pattern)
        span, version = _latest(self._input_base_uri, split.pattern) if spanned else (0, None)
        pattern = self.get_pattern_for_span_version(split.pattern, span, version)
        self._fingerprint = fingerprint(self._input_base_uri, pattern, spanned)
        return span, version


def _latest(base: str, pattern: str) -> tuple[int, int | None]:
    def order(numbers: dict[str, int]) -> tuple[int, int]:
        if "SPAN" in numbers:
            span = numbers["SPAN"]
        else:
            span = utils.date_to_span_number(numbers["YYYY"], numbers["MM"], numbers["DD"])
        return span, numbers.get("VERSION", -1)

    span, version = max(map(order, span_numbers(base, pattern)))
    return span, version if version >= 0 else None


def fingerprint(base: str, pattern: str, span_filled_in: bool = False) -> str:
    """Returns a text that changes with the names, the sizes or the times of the input files, as TFX's does.

    Raises:
      InputError: no file matches.
    """
    found = find_files(base, pattern, span_filled_in)
    digest, total = hashlib.sha256(), 0
    for file in found.files:
        size, changed = files.fingerprint(file)
        total += size
        digest.update(f"{os.path.relpath(file, base)}\0{size}\0{changed}\n".encode())
    return f"num_files:{len(found.files)},total_bytes:{total},sha256:{digest.hexdigest()}"
