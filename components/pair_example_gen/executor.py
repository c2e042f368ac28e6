"""Reads every file of pairs inside Beam, writes the splits and the quarantine, and refuses what is too bad."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.errors import DataRefused, InputError
from components.pair_example_gen.reader import QUARANTINE, read_pairs
from components.pair_example_gen.source import Settings, find_files
from components.pair_example_gen.split import in_eval

SPLITS = ("train", "eval")
QUARANTINE_FILE = "quarantine-{:05d}.parquet"
ROWS_PROPERTY = "rows_{}"
QUARANTINED_PROPERTY = "rows"
_SHOWN_ROWS = 3


@dataclasses.dataclass(frozen=True)
class FileReport:
    """What became of one file."""

    file: str
    rows: dict[str, int]
    quarantined: int
    fault: str | None = None


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of PairExampleGen."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `examples` (train and eval splits of tf.Example, gzipped TFRecords) and `quarantine` (Parquet).

        Raises:
          InputError: a file cannot be read as described, or no row is left.
          DataRefused: more rows are quarantined than `max_quarantined_fraction` allows.
        """
        settings = Settings.from_json(exec_properties["settings"])
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        quarantine = artifact_utils.get_single_instance(output_dict["quarantine"])
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        files = find_files(exec_properties["input_base"], _pattern(exec_properties))
        reports = self._convert(files, settings, examples.uri, quarantine.uri)
        _check(reports, settings, quarantine.uri)
        for split in SPLITS:
            rows = sum(report.rows[split] for report in reports)
            examples.set_int_custom_property(ROWS_PROPERTY.format(split), rows)
        quarantine.set_int_custom_property(QUARANTINED_PROPERTY, sum(report.quarantined for report in reports))

    def _convert(self, files: list[str], settings: Settings, examples: str, quarantine: str) -> list[FileReport]:
        """Converts each file by itself. Reports travel as files: Beam returns no values, and wraps exceptions."""
        reports = os.path.join(quarantine, "reports")
        for directory in (reports, *(_split_directory(examples, split) for split in SPLITS)):
            tf.io.gfile.makedirs(directory)
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(list(enumerate(files)), reshuffle=True)
                | "Convert" >> beam.ParDo(_ConvertFile(settings, examples, quarantine, reports))
            )
        found = [_read_report(path) for path in sorted(tf.io.gfile.glob(os.path.join(reports, "*.json")))]
        tf.io.gfile.rmtree(reports)
        return found


class _ConvertFile(beam.DoFn):
    """Converts one file; its report says what became of it, a fault included."""

    def __init__(self, settings: Settings, examples: str, quarantine: str, reports: str) -> None:
        self._settings = settings
        self._examples = examples
        self._quarantine = quarantine
        self._reports = reports

    def process(self, element: tuple[int, str]) -> Iterator[None]:
        """Writes the shards of file number `element[0]` and its report."""
        number, file = element
        try:
            report = self._convert(number, file)
        except InputError as error:
            report = FileReport(file, dict.fromkeys(SPLITS, 0), 0, fault=str(error))
        with tf.io.gfile.GFile(os.path.join(self._reports, f"{number:05d}.json"), "w") as out:
            json.dump(dataclasses.asdict(report), out)
        return iter(())

    def _convert(self, number: int, file: str) -> FileReport:
        rows = collections.Counter(dict.fromkeys(SPLITS, 0))
        bad = []
        writers = {split: _writer(self._examples, split, number) for split in SPLITS}
        try:
            for batch in read_pairs(file, self._settings.layout):
                bad.append(batch.quarantined)
                for split, pairs in _split(batch.pairs, self._settings):
                    rows[split] += pairs.num_rows
                    for example in _encode(pairs):
                        writers[split].write(example)
        finally:
            for writer in writers.values():
                writer.close()
        quarantined = pa.concat_tables([QUARANTINE.empty_table(), *bad])
        if quarantined.num_rows:
            _write_parquet(quarantined, os.path.join(self._quarantine, QUARANTINE_FILE.format(number)))
        return FileReport(file, dict(rows), quarantined.num_rows)


def _pattern(exec_properties: dict[str, Any]) -> str:
    """The pattern of the files, with the span that the driver chose filled in."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties["input_config"], config)
    return str(config.splits[0].pattern)


def _split_directory(examples: str, split: str) -> str:
    return os.path.join(examples, f"Split-{split}")


def _writer(examples: str, split: str, number: int) -> tf.io.TFRecordWriter:
    return tf.io.TFRecordWriter(os.path.join(_split_directory(examples, split), f"pairs-{number:05d}.gz"), "GZIP")


def _split(pairs: pa.Table, settings: Settings) -> Iterator[tuple[str, pa.Table]]:
    """The pairs of each split, in the order of the file."""
    pairs = pairs.combine_chunks()
    to_eval = in_eval(pairs["left_id"], pairs["right_id"], settings.split_by, settings.eval_fraction)
    yield "train", pairs.filter(pa.array(~to_eval))
    yield "eval", pairs.filter(pa.array(to_eval))


def _encode(pairs: pa.Table) -> list[bytes]:
    """Serialized tf.Examples of `pairs`, encoded a batch at a time in C++."""
    encoded: list[bytes] = []
    for batch in pairs.to_batches():
        offsets = pa.array(range(batch.num_rows + 1), pa.int32())
        lists = [pa.ListArray.from_arrays(offsets, column) for column in batch.columns]
        encoded += RecordBatchToExamplesEncoder().encode(pa.RecordBatch.from_arrays(lists, batch.schema.names))
    return encoded


def _write_parquet(table: pa.Table, path: str) -> None:
    buffer = pa.BufferOutputStream()
    pa.parquet.write_table(table, buffer)
    with tf.io.gfile.GFile(path, "wb") as out:
        out.write(buffer.getvalue().to_pybytes())


def _read_report(path: str) -> FileReport:
    with tf.io.gfile.GFile(path) as source:
        return FileReport(**json.load(source))


def _check(reports: list[FileReport], settings: Settings, quarantine: str) -> None:
    """Refuses input with a fault, without a row, or with too many bad ones."""
    faults = [report.fault for report in reports if report.fault]
    if faults:
        raise InputError("\n".join(faults))
    good = sum(sum(report.rows.values()) for report in reports)
    bad = sum(report.quarantined for report in reports)
    if not good + bad:
        raise InputError(f"data.path: {', '.join(report.file for report in reports)}: no row after the header")
    if bad > settings.max_quarantined_fraction * (good + bad):
        raise DataRefused(_too_many_bad_rows(bad, good + bad, settings, quarantine))


def _too_many_bad_rows(bad: int, total: int, settings: Settings, quarantine: str) -> str:
    rows = pa.parquet.read_table(quarantine).to_pylist()
    counts = collections.Counter(row["reason"] for row in rows)
    lines = [
        f"data.max_quarantined_fraction: {bad:,} of {total:,} rows are bad ({bad / total:.2%}), "
        f"and at most {settings.max_quarantined_fraction:.2%} may be:"
    ]
    for reason, count in counts.most_common():
        lines.append(f"  {count:,} x {reason}")
        shown = [row for row in rows if row["reason"] == reason][:_SHOWN_ROWS]
        lines += [f"    {row['file']}, row {row['row']}: {row['raw'].decode(errors='replace')!r}" for row in shown]
    lines.append(f"All of them are in {quarantine} (Parquet). Mend the rows, or raise data.max_quarantined_fraction.")
    return "\n".join(lines)
