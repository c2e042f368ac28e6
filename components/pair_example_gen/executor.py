"""Reads all files of pairs in Beam, writes the splits and the quarantine, and refuses unusable data."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.components.example_gen import utils
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from components import engine_folder
from components.execution import ExecutionArguments, ExecutorBase
from components.pair_example_gen import arrival, files, inputs, objects, quarantine, refusals, room, shards, spill
from components.pair_example_gen.arrival import Arrival
from components.pair_example_gen.cutoff import find_cutoff
from components.pair_example_gen.driver import of_input
from components.pair_example_gen.entity_features import layout as feature_layout
from components.pair_example_gen.entity_features import read as entity_features
from components.pair_example_gen.reading import archives
from components.pair_example_gen.reports import Report, Totals, read_reports
from components.pair_example_gen.rules import TIME, encode_ids, pairs_schema
from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.source import Found
from components.pair_example_gen.spans import Span, find_all
from components.pair_example_gen.stages import (
    READ_ROWS,
    CutFile,
    IngestPaths,
    JudgePart,
    MergeIds,
    ReadChunk,
    SplitPart,
    WriteCodes,
)
from components.pair_example_gen.suspicious import warning
from components.pair_example_gen.suspicious.find import find as find_suspicious
from components.threads import Threaded, threads_of
from errors import DataRefused, InputError
from kindred import progress
from storage import by_url
from storage.disk import require
from trainer.data.examples import EVAL, SIDES, SPLITS, TRAIN, Examples

ROWS_PROPERTY = "rows_{}"
QUARANTINED_PROPERTY = "rows"
SPANS_PROPERTY = "spans"
WEIGHTLESS = "weightless"
FILE_FORMAT = example_gen_pb2.FileFormat.Name(example_gen_pb2.FILE_FORMAT_PARQUET)


class Executor(ExecutorBase, base_beam_executor.BaseBeamExecutor):
    """Executor of PairExampleGen.

    See `PairExampleGen` for inputs and outputs. Sets the integer properties `rows_train`, `rows_eval`, `rows_read`
    and `rows_weightless` of `examples`, its `spans` if there are several, and `rows` of `quarantine`.
    """

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes `examples` (train and eval splits as Parquet, and in columns of codes) and `quarantine` (Parquet).

        Raises:
          InputError: a file does not match its description or changes during the run, or no row remains.
          DataRefused: more rows are bad than `max_quarantined_fraction` allows, the policy forbids repeated pairs, or
            all rows have the same time and cannot be split by time.
        """
        settings, parameters = execution.settings(IngestSettings), execution.parameters
        examples, set_aside = execution.output("examples"), execution.output("quarantine")
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        examples_utils.set_payload_format(examples, example_gen_pb2.PayloadFormat.FORMAT_PARQUET)
        examples_utils.set_file_format(examples, FILE_FORMAT)
        has_span = bool(parameters.get(utils.SPAN_PROPERTY_NAME))
        spans = _spans(parameters["input_config"])
        found, ages = find_all(parameters["input_base"], spans, has_span)
        totals = self._convert(found, ages, settings, examples.uri, set_aside.uri)
        warning.write(find_suspicious(Examples(examples.uri), settings, len(found.files)), examples.uri)
        for name in (*SPLITS, READ_ROWS):
            examples.set_int_custom_property(ROWS_PROPERTY.format(name), totals.rows[name])
        examples.set_int_custom_property(ROWS_PROPERTY.format(WEIGHTLESS), totals.weightless.total())
        if len(spans) > 1:
            examples.set_int_custom_property(SPANS_PROPERTY, len(spans))
        set_aside.set_int_custom_property(QUARANTINED_PROPERTY, totals.bad)

    def _convert(
        self, found: Found, ages: list[int], settings: IngestSettings, examples: str, set_aside: str
    ) -> Totals:
        input_files = found.files
        feature_files = [
            file for side, given in settings.features.items() for file in feature_layout.input_files(side, given)
        ]
        sizes = [(files.fingerprint(file), _is_packed(file)) for file in input_files]
        parts = spill.count_parts([(size, packed) for (size, _), packed in sizes]) if settings.sees_pairs_whole else 0
        require(examples, room.least_bytes(input_files), "the examples of the files")
        local = IngestPaths(examples, set_aside, os.path.join(set_aside, "work"), parts)
        with (
            _directories(local),
            engine_folder.opened(self._beam_pipeline_args) as shared,
            inputs.described_aside([*input_files, *feature_files]) as described,
        ):
            paths = local.below(shared) if shared else local
            read_by_workers = objects.urls_of(input_files, settings.copied) if shared else input_files
            with _unchanged(dict(zip(input_files, (fingerprint for fingerprint, _ in sizes), strict=True))):
                with progress.counted("rows", sum(size for (size, _), _ in sizes), measured=False):
                    totals = self._read(read_by_workers, ages, settings, paths, set_aside)
                inputs.write(objects.named_by_url(described.result(), settings.copied), examples)
            read = totals.good
            size = sum(files.fingerprint(path)[0] for path in {archives.on_disk(file) for file in input_files})
            rows = read + totals.bad + totals.weightless.total()
            recognized = read_reports(paths.reports("cut"))
            arrival.write(Arrival(len(input_files), size, rows, found.skipped, _recognized(recognized)), examples)
            if parts:
                rows = self._see_pairs_whole(read_by_workers, settings, paths, totals.newest)
                totals = dataclasses.replace(totals, rows=rows)
            if shared and settings.copied:
                objects.refuse_changed(read_by_workers, settings.copied)
                by_url.download(paths.examples, examples)
            refusals.check_splits(totals, settings)
            totals.rows[READ_ROWS] = read
            for split in SPLITS:
                if not totals.rows[split]:
                    # Readers of the split expect at least one file.
                    nothing = encode_ids(pairs_schema(settings.columns, settings.weighted).empty_table())
                    shards.write_parquet(nothing, examples, split, "none", local.work)
            with _unchanged({file: files.fingerprint(file) for file in feature_files}):
                entity_features.write(settings, examples, set_aside)
        return totals

    def _read(
        self, input_files: list[str], ages: list[int], settings: IngestSettings, paths: IngestPaths, set_aside: str
    ) -> Totals:
        """Reads all files. Good rows go to the splits or to spill files, and bad ones to the directory `set_aside`."""
        with self._make_beam_pipeline() as pipeline:
            written = (
                pipeline
                | "Files" >> beam.Create(list(enumerate(input_files)), reshuffle=True)
                | "Cut" >> self._each(CutFile(settings, paths))
                | "Share" >> beam.Reshuffle()
                | "Read" >> self._each(ReadChunk(settings, paths, ages))
            )
            if not paths.parts:
                self._write_codes(written, paths)
        if paths.quarantine != set_aside:
            by_url.download(paths.quarantine, set_aside)
        heads, reports = read_reports(paths.reports("cut")), read_reports(paths.reports("read"))
        refusals.check_files(heads, reports, settings)
        totals = Totals.of(reports)
        if not totals.good and totals.weightless.total():
            raise DataRefused(refusals.no_weight(settings, "All", totals.weightless.total(), "rows"))
        if not totals.good + totals.bad:
            raise InputError(f"data.path: {', '.join(input_files[:5])}: there are no rows after the header")
        if not totals.good or totals.bad > settings.max_quarantined_fraction * (totals.good + totals.bad):
            raise DataRefused(refusals.too_many_bad_rows(totals, settings, quarantine.keep_apart(set_aside)))
        return totals

    def _see_pairs_whole(
        self, input_files: list[str], settings: IngestSettings, paths: IngestPaths, newest: float | None
    ) -> Any:
        """Applies the duplicate policy, splits by time, and returns the number of rows of each split."""
        spilled = files.matching(paths.spilled("*"))
        by_time = settings.split.by == "time"
        judge = JudgePart(settings, paths, spilled, input_files, newest)
        judged = self._for_each_part(judge, paths, "judge", writes=not by_time)
        for path in spilled:
            files.remove(path)
        refusals.check_repeated(judged, settings.unordered)
        if not by_time:
            return Totals.of(judged).rows
        cutoff = find_cutoff(lambda: _times(paths), settings.split.eval_fraction)
        rows = Totals.of(self._for_each_part(SplitPart(paths, cutoff), paths, "split")).rows
        if not rows[TRAIN]:
            raise DataRefused(
                f"data.split: by time, the newest {settings.split.eval_fraction:g} are all {rows[EVAL]:,} rows. Too "
                "many share the oldest time, or belong to pairs that appear again later. Split by pair or left"
            )
        return rows

    def _for_each_part(
        self, work: Callable[[int], list[str]], paths: IngestPaths, stage: str, writes: bool = True
    ) -> list[Report]:
        with progress.counted("parts", paths.parts), self._make_beam_pipeline() as pipeline:
            parts = pipeline | "Parts" >> beam.Create(list(range(paths.parts)), reshuffle=True)
            written = parts | stage >> self._each(work)
            if writes:
                self._write_codes(written, paths)
        return read_reports(paths.reports(stage))

    def _write_codes(self, written: beam.PCollection, paths: IngestPaths) -> None:
        """Merges the ids of all shards, whose names are the elements of `written`, and writes rows of their codes."""
        merged = (
            written
            | "All" >> beam.combiners.ToList()
            | "Sides" >> beam.FlatMap(lambda names: [(side, names) for side in SIDES])
            | "ShareSides" >> beam.Reshuffle()
            | "Merge" >> self._each(MergeIds(paths))
        )
        shared = written | "ShareShards" >> beam.Reshuffle()
        _ = shared | "Codes" >> self._each(WriteCodes(paths), beam.pvalue.AsIter(merged))

    def _each(self, work: Callable[[Any], Iterable[Any]], *after: beam.pvalue.AsSideInput) -> beam.PTransform:
        return beam.ParDo(Threaded(work, threads_of(self._beam_pipeline_args)), *after)


def _spans(input_config: str) -> list[Span]:
    """Returns the spans that the driver has chosen."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(input_config, config)
    return of_input(config)


@contextlib.contextmanager
def _directories(paths: IngestPaths) -> Iterator[None]:
    """Creates the output directories, and deletes the work directory at the end."""
    reports = (paths.reports(stage) for stage in ("cut", "read", "judge", "split"))
    for directory in (*reports, *shards.folders(paths.examples, paths.work)):
        fileio.makedirs(directory)
    try:
        yield
    finally:
        tf.io.gfile.rmtree(paths.work)


@contextlib.contextmanager
def _unchanged(before: dict[str, files.Fingerprint]) -> Iterator[None]:
    """Checks that the files did not change. A change may be the cause of any other error, so it takes precedence.

    Raises:
      InputError: a file has changed or is gone.
    """
    try:
        yield
    finally:
        for file, fingerprint in before.items():
            try:
                changed = files.fingerprint(file) != fingerprint
            except InputError:
                changed = True
            if changed:
                raise InputError(f"data.path: {file} changed while it was read. Run again when no program writes to it")


def _is_packed(file: str) -> bool:
    return file.endswith(".parquet") or files.compression_of(file) is not None


def _recognized(heads: list[Report]) -> dict[str, int]:
    """Returns what was recognized in the files, with the number of files."""
    return dict(Counter(what for head in heads for what in head.recognized).most_common())


def _times(paths: IngestPaths) -> Iterator[np.ndarray]:
    """Yields the times of all rows, one batch at a time."""
    for part in range(paths.parts):
        with files.random_access(paths.whole(part)) as source:
            table = pa.ipc.open_file(source)
            at = table.schema.get_field_index(TIME)
            for number in range(table.num_record_batches):
                yield table.get_batch(number).column(at).to_numpy(zero_copy_only=False)
