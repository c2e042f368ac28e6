"""Estimates the memory of a training before it starts."""

from __future__ import annotations

import psutil

from errors import TrainingTooLarge
from kindred import cgroup
from trainer.data.hashing import Numbering
from trainer.gradient.shared_candidates import BLOCK
from trainer.model.table_sizes import TableSizes
from trainer.settings import WHOLE_DATA, ModelSettings, TrainSettings, has_solver

_FLOAT = 4
# The overhead of an entry in a dictionary with bytes keys: object headers, the number, and both slots.
_ENTRY = 160
# Copies of a table that an optimizer keeps.
_SLOTS = {"adam": 2.0, "sgd": 0.0}


def needed(sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> dict[str, int]:
    """Estimates memory by purpose: tables, optimizer, batch and publishing, in bytes.

    A batch needs about six copies of its rows, for gradients and sums by row, and with shared negatives three arrays of
    the scores of a block. With several hashes, each unknown id has several rows and a number. Publishing needs the
    tables twice more.

    Args:
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.
    """
    tables = table_bytes(sizes, model)
    slots = _SLOTS.get(settings.optimizer, 1 / model.dimension)
    negatives = 0 if model.objective in ("regression", *WHOLE_DATA) else model.negative_count
    of_batch = 2 * settings.batch_size + negatives * (1 if model.shares_negatives else settings.batch_size)
    batch = 6 * of_batch * sizes.hashes * model.dimension * _FLOAT
    if model.shares_negatives:
        batch += 3 * BLOCK * _FLOAT
    numbers = {} if sizes.numberings is None else {"hashes": sum(map(_numbering, set(sizes.numberings)))}
    optimizer = int(tables * slots)
    if has_solver(model.objective, settings.optimizer):
        optimizer, batch = _least_squares(sizes, model, settings.als.copies)
    return {"tables": tables, "optimizer": optimizer, "batch": batch, "publishing": 2 * tables} | numbers


def table_bytes(sizes: TableSizes, model: ModelSettings) -> int:
    """Returns the bytes of the embedding tables, in memory and in a file."""
    entities = sizes.left if sizes.shared else sizes.left + sizes.right
    return int(entities * (model.dimension + model.bias) * _FLOAT)


def _numbering(numbering: Numbering) -> int:
    """Returns the bytes of the rows of unknown ids, as dictionary keys and as a table."""
    return (len(numbering) - numbering.known) * (_ENTRY + 2 * 4 * numbering.hashes)


def _least_squares(sizes: TableSizes, model: ModelSettings, copies: int) -> tuple[int, int]:
    """Returns the bytes of the state of least squares, and of its temporary arrays.

    For labels, these are a covariance for each entity in each copy, and the second moments of the larger side. For
    `ials`, these are some hundreds of normal equations and a copy of the larger table. For `spectral`, they are a basis
    and its images. For `lightgcn`, they are the moments of Adam, averages and gradients of all rows, and blocks of
    scores.
    """
    width = -(-model.dimension // copies) + model.bias
    if model.objective in WHOLE_DATA:
        factors = 3 * (sizes.left + sizes.right) * width * _FLOAT
        equations = (1024 * width + max(sizes.left, sizes.right)) * width * _FLOAT
        graph = 4 * factors + 4 * BLOCK * _FLOAT
        temporary = {"spectral": factors, "ials": equations, "lightgcn": graph}
        return 0, temporary.get(model.objective, factors + equations)
    covariances = copies * (sizes.left + sizes.right) * width * width * _FLOAT
    moments = max(sizes.left, sizes.right) * width * (width + 1) // 2 * _FLOAT
    return covariances, 2 * moments + 1024 * width * width * 2 * _FLOAT


def available() -> int:
    """Returns the bytes that this process can still use: free memory, or the rest of its container's limit."""
    free, rest = int(psutil.virtual_memory().available), cgroup.free_memory()
    return free if rest is None else min(free, rest)


def check(sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> None:
    """Checks that a training fits in memory.

    Raises:
      TrainingTooLarge: it does not fit. The message has the estimate, the free memory, and settings that reduce it.
    """
    parts, free = needed(sizes, model, settings), available()
    total = sum(parts.values())
    if total <= free:
        return
    listed = ", ".join(f"{name} {_gigabytes(size)}" for name, size in parts.items())
    raise TrainingTooLarge(
        f"train: {sizes.left:,} left and {sizes.right:,} right entities of model.dimension {model.dimension} need "
        f"about {_gigabytes(total)} ({listed}), and {_gigabytes(free)} are free. Lower model.dimension or "
        "train.batch_size, choose train.optimizer: adagrad, or keep fewer entities by encode.min_count or "
        "encode.max_vocabulary"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
