"""Decodes TFRecords of tf.Example to Arrow, a batch at a time in C++. Importing this module imports TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.pair_example_gen import files
from components.pair_example_gen.rows import RAW_BYTES, RawRows, RowPositions, quarantined, separate
from components.pair_example_gen.values import as_ids, as_plain, is_feature, is_id, is_text
from errors import InputError

_BATCH_RECORDS = 8192
_BLOCK_BYTES = 8 << 20
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


def read_rows(file: str, columns: dict[str, str]) -> Iterator[RawRows]:
    """Yields the examples of `file`. A feature without a value is missing. One with several values makes a bad row.

    Raises:
      InputError: the file is incomplete or damaged.
    """
    _check_whole(file)
    with files.decompressed(file, but=("gzip",)) as path:
        yield from _read(path, file, columns)


def _read(path: str, file: str, columns: dict[str, str]) -> Iterator[RawRows]:
    first = 0
    compression = "GZIP" if files.compression_of(path) else ""
    batches = tf.data.TFRecordDataset(path, compression_type=compression).batch(_BATCH_RECORDS).as_numpy_iterator()
    try:
        for batch in batches:
            records = batch.tolist()
            for part, decoded in _decode(records, first):
                yield _rows(file, records[part - first :][: _count(decoded)], decoded, columns, part)
            first += len(records)
    except tf.errors.DataLossError:
        raise InputError(f"data.path: {file} cannot be read: a record after the first {first:,} is damaged") from None


def _check_whole(file: str) -> None:
    """Checks the record lengths, because TensorFlow accepts a file truncated between two records."""
    with files.readable(file), files.byte_stream(file) as stream:
        data, position, records = b"", 0, 0
        while True:
            if position + _HEADER_BYTES <= len(data):
                (length,) = struct.unpack_from("<Q", data, position)
                position += _HEADER_BYTES + length + _FOOTER_BYTES
                records += 1
                continue
            fresh = stream.read(max(_BLOCK_BYTES, min(position - len(data), 8 * _BLOCK_BYTES)))
            if not fresh:
                break
            data, position = data[position:] + fresh if position < len(data) else fresh, max(position - len(data), 0)
            if position > len(data):
                data, position = b"", position - len(data)
    if position != len(data):
        raise InputError(
            f"data.path: {file} cannot be read: it is not a TFRecord file, or it ends within record {records}"
        )


def _decode(records: list[bytes], first: int) -> Iterator[tuple[int, pa.RecordBatch | None]]:
    """Decodes records together, or bisects them on an error. Yields None for a record that is not an example."""
    try:
        yield first, ExamplesToRecordBatchDecoder().DecodeBatch(records)
    except RuntimeError:
        if len(records) == 1:
            yield first, None
            return
        middle = len(records) // 2
        yield from _decode(records[:middle], first)
        yield from _decode(records[middle:], first + middle)


def _count(decoded: pa.RecordBatch | None) -> int:
    return 1 if decoded is None else decoded.num_rows


def _rows(
    file: str, records: list[bytes], decoded: pa.RecordBatch | None, columns: dict[str, str], first: int
) -> RawRows:
    def raw(rows: np.ndarray) -> pa.Array:
        return pa.array([records[row][:RAW_BYTES] for row in rows.tolist()], pa.binary())

    positions = RowPositions(row=np.arange(first, first + len(records)))
    if decoded is None:
        broken = quarantined(file, positions, ["record is not a tf.Example"], raw(np.arange(1)))
        nothing = {role: pa.array([], pa.binary()) for role in columns}
        return RawRows(nothing, RowPositions(row=positions.row[:0] if positions.row is not None else None), raw, broken)
    fields, reasons = {}, np.full(len(records), "", object)
    for role, name in columns.items():
        fields[role] = _single_values(role, name, decoded, reasons)
    return separate(file, fields, positions, raw, reasons)


def _single_values(role: str, name: str, decoded: pa.RecordBatch, reasons: np.ndarray) -> pa.Array:
    """Returns the single value of feature `name` in each example, null if missing. Several values make a bad row."""
    subject = f"{role} id" if is_id(role) else role
    if name not in decoded.schema.names or pa.types.is_null(decoded.column(name).type):
        return pa.nulls(decoded.num_rows, pa.binary())
    column = decoded.column(name)
    if is_id(role) and pa.types.is_floating(column.type.value_type):
        reasons[reasons == ""] = f"{subject} is a float, but needs bytes or an integer"
        return pa.nulls(decoded.num_rows, pa.binary())
    if is_feature(role) and is_text(column.type.value_type):
        return as_plain(column)
    lengths = np.diff(column.offsets.to_numpy())
    for row in np.flatnonzero(lengths > 1).tolist():
        reasons[row] = reasons[row] or f"{subject} has {lengths[row]} values"
    first = pa.array(column.offsets.to_numpy()[:-1], mask=lengths == 0)
    values = column.values.take(first)
    return as_ids(values, role, reasons) if is_id(role) else as_plain(values)
