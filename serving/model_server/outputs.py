"""Bounds the answer of a request before it is computed, and computes large rankings piece by piece.

A ranking of `n` rows returns `n * k` ids and scores, and compares every row with the whole catalogue. Neither depends
on the size of the request, so both must be bounded.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from serving.model_server.calls import Call, check_rows
from serving.model_server.contract import GIVEN, QUERIES, K, independent_rows, number_of_answers
from serving.model_server.faults import Fault, invalid
from serving.model_server.servable import Servable, tensor_name
from serving.model_server.tensors import Array

Run = Callable[[Mapping[str, Array]], list[Array]]

_ALL = 2**31 - 1
_SIZES = 1000
# A string of an answer: in TensorFlow, as bytes and as text of Python, and in the response.
_STRING_BYTES = 128
# A row for an unseen entity needs a matrix, and a vector for each id of its list.
_UNSEEN_AT_A_TIME, _GIVEN_AT_A_TIME = 64, 1 << 17
# A ranking holds a score of each row for each entity. 64 MiB of float32 at a time keep all cores busy.
_SCORES_AT_A_TIME = 1 << 24


def bounded(
    call: Call, servable: Servable, signature: Any, inputs: Mapping[str, Array], aliases: Mapping[str, str], run: Run
) -> list[Array]:
    """Runs a signature unless its answer would be too large.

    Args:
      call: the request. It is asked between the pieces of a large ranking whether to go on.
      servable: the model.
      signature: the SignatureDef that the request calls.
      inputs: arrays by input alias.
      aliases: tensor names by the alias of each output to compute.
      run: computes the outputs of such inputs.

    Returns:
      One array per alias.

    Raises:
      Fault: the answer needs more than `max_output_bytes`. Nothing was computed.
    """
    ranked_for = independent_rows(inputs)
    rows = max((inputs[name].shape[0] for name in ranked_for or inputs if inputs[name].ndim), default=1)
    k = number_of_answers(inputs)
    catalogue = _ALL if k is None else catalogue_of(servable, signature, inputs, aliases)
    hold(call, servable, signature, aliases, rows, None if k is None else max(min(k, catalogue), 0))
    step = max(_SCORES_AT_A_TIME // max(catalogue if k is not None else 1, 1), 1)
    if ranked_for == [GIVEN]:
        width = inputs[GIVEN].shape[1]
        check_rows(width, call.limits)
        step = max(min(step, _UNSEEN_AT_A_TIME, _GIVEN_AT_A_TIME // max(width, 1)), 1)
    if rows <= step or not ranked_for:
        return run(inputs)
    pieces = []
    for start in range(0, rows, step):
        call.check()
        pieces.append(run(_rows_of(inputs, rows, slice(start, start + step))))
    return [_joined(parts) for parts in zip(*pieces, strict=True)]


def catalogue_of(servable: Servable, signature: Any, inputs: Mapping[str, Array], aliases: Mapping[str, str]) -> int:
    """Returns the number of entities that a ranking chooses from, by asking for all answers to no rows."""
    scalars = {alias: array for alias, array in inputs.items() if not array.ndim and alias != K}
    key = (*aliases.values(), *(f"{alias}={value}" for alias, value in scalars.items()))
    known = servable.catalogues.get(key)
    if known is None:
        feeds = {
            tensor_name(info, alias): scalars.get(alias, _empty(alias, info))
            for alias, info in signature.inputs.items()
        }
        try:
            shapes = [output.shape for output in servable.run(feeds, list(aliases.values()))]
        except (tf.errors.OpError, Fault):  # the signature needs rows
            shapes = []
        known = max((shape[1] for shape in shapes if len(shape) > 1), default=_ALL)
        servable.remember_catalogue(key, known)
    return known


def _empty(alias: str, info: Any) -> Array:
    shape = [0] if info.tensor_shape.unknown_rank else [max(size.size, 0) for size in info.tensor_shape.dim]
    kind = tf.as_dtype(info.dtype).as_numpy_dtype
    return np.array(_ALL, kind) if alias == K else np.zeros(shape, kind)


def hold(call: Call, servable: Servable, signature: Any, aliases: Mapping[str, str], rows: int, k: int | None) -> None:
    """Counts the bytes of the answer, as far as the signature and the request determine them.

    Args:
      call: the request.
      servable: the model.
      signature: the SignatureDef that the request calls.
      aliases: tensor names by the alias of each output to compute.
      rows: rows of the request.
      k: the number of answers per row, at most the catalogue, or None if the signature is no ranking.

    Raises:
      Fault: the answer needs more than `max_output_bytes`.
    """
    key = tuple(aliases.values())
    of_row = servable.answer_bytes.get(key)
    if of_row is None:
        if len(servable.answer_bytes) >= _SIZES:  # clients choose outputs
            servable.answer_bytes.clear()
        of_row = servable.answer_bytes[key] = [_bytes_of_row(signature.outputs[alias]) for alias in aliases]
    size = rows * sum(size * (1 if k is None else k) ** unknown for size, unknown in of_row)
    if size > call.limits.max_output_bytes:
        given, advice = ("", "") if k is None else (f" with k={k}", " or a smaller k")
        raise invalid(
            f"the answer to {rows} rows{given} needs about {size:,} bytes, more than "
            f"--max_output_bytes={call.limits.max_output_bytes}. Send fewer rows{advice}"
        )
    call.hold(size)


def _bytes_of_row(info: Any) -> tuple[int, int]:
    """Returns the bytes of a row of an output if each unknown dimension is 1, and how many of these it has."""
    sizes = [dimension.size for dimension in info.tensor_shape.dim[1:]]
    known = [size for size in sizes if size >= 0]
    return math.prod(known) * _bytes_of_value(info.dtype), len(sizes) - len(known)


@functools.cache
def _bytes_of_value(number: int) -> int:
    """Returns the bytes of a value of a number of the enumeration `DataType`. A SignatureDef can leave it out."""
    kind = tf.as_dtype(number).base_dtype if number else tf.float32
    return _STRING_BYTES if kind == tf.string else max(kind.size, 1)


def _rows_of(inputs: Mapping[str, Array], rows: int, part: slice) -> dict[str, Array]:
    """Returns the inputs for some rows. Only queries and inputs with a list per row have rows."""
    return {
        alias: array[part] if alias in QUERIES or (array.ndim > 1 and array.shape[0] == rows) else array
        for alias, array in inputs.items()
    }


def _joined(parts: tuple[Array, ...]) -> Array:
    """Joins the rows of pieces. If both sides share a table, a piece of unknown queries has one answer more."""
    if parts[0].ndim < 2:
        return np.concatenate(parts)
    width = min(part.shape[1] for part in parts)
    return np.concatenate([part[:, :width] for part in parts])
