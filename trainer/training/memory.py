"""How much memory a training will need, told before it begins."""

from __future__ import annotations

import os

import psutil

from errors import TrainingTooLarge
from trainer.data.hashing import Numbering
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings

_FLOAT = 4
# Of a dictionary of bytes, beside the bytes: their header, the number, and the places of both.
_ENTRY = 160
# Copies of a table's numbers that an optimizer keeps beside it.
_SLOTS = {"adam": 2.0, "sgd": 0.0}
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def needed(sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> dict[str, int]:
    """Bytes by what needs them: the tables, the optimizer's state, the batch, and publishing.

    A batch needs its rows, their gradients and the sums of these by row, a handful of copies; softmax also the scores
    of each pair with each candidate, their gradients and masks. With several hashes, an unknown id has so many rows,
    and a number that knows them. Publishing holds the tables twice more.
    """
    entities = sizes.left if sizes.shared else sizes.left + sizes.right
    tables = entities * (model.dimension + model.bias) * _FLOAT
    slots = _SLOTS.get(settings.optimizer, 1 / model.dimension)
    negatives = 0 if model.objective in ("regression", "ials") else model.negatives.count
    rows = settings.batch_size * (2 + negatives) * sizes.hashes
    batch = 6 * rows * model.dimension * _FLOAT
    if model.objective == "softmax":
        batch = 6 * settings.batch_size * (settings.batch_size + negatives) * _FLOAT
    numbers = {} if sizes.numberings is None else {"hashes": sum(map(_numbering, set(sizes.numberings)))}
    optimizer = int(tables * slots)
    if settings.optimizer == "als":
        optimizer, batch = _least_squares(sizes, model, settings.als.copies)
    return {"tables": tables, "optimizer": optimizer, "batch": batch, "publishing": 2 * tables} | numbers


def _numbering(numbering: Numbering) -> int:
    """Bytes of the rows of unknown ids, as keys of a dictionary and as a table."""
    return (len(numbering) - numbering.known) * (_ENTRY + 2 * 4 * numbering.hashes)


def _least_squares(sizes: TableSizes, model: ModelSettings, copies: int) -> tuple[int, int]:
    """Bytes of what least squares keeps, and of what it works with.

    For labels that is a covariance for each entity in each copy, and the second moments of the larger side; for
    positives some hundreds of normal equations.
    """
    width = -(-model.dimension // copies) + model.bias
    if model.objective == "ials":
        return 0, 1024 * width * width * _FLOAT
    covariances = copies * (sizes.left + sizes.right) * width * width * _FLOAT
    moments = max(sizes.left, sizes.right) * width * (width + 1) // 2 * _FLOAT
    return covariances, 2 * moments + 1024 * width * width * 2 * _FLOAT


def available() -> int:
    """Bytes that this process can still have: what the machine has free, or its container allows."""
    free = int(psutil.virtual_memory().available)
    for file in _CGROUP_LIMITS:
        if os.path.exists(file):
            with open(file, encoding="ascii") as limit:
                text = limit.read().strip()
            if text.isdigit():
                return min(free, int(text) - psutil.Process().memory_info().rss)
    return free


def check(sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> None:
    """Refuses a training that cannot fit.

    Raises:
      TrainingTooLarge: says what it needs, what there is, and what would make it smaller.
    """
    parts, free = needed(sizes, model, settings), available()
    total = sum(parts.values())
    if total <= free:
        return
    listed = ", ".join(f"{name} {_gigabytes(size)}" for name, size in parts.items())
    raise TrainingTooLarge(
        f"train: {sizes.left:,} left and {sizes.right:,} right entities of model.dimension {model.dimension} need "
        f"about {_gigabytes(total)} ({listed}), and {_gigabytes(free)} are free; lower model.dimension or "
        "train.batch_size, choose train.optimizer: adagrad, or keep fewer entities by encode.min_count or "
        "encode.max_vocabulary"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
