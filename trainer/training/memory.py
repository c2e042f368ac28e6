"""Estimates the memory of a training before it starts, and chooses whether it holds its pairs or streams them."""

from __future__ import annotations

import dataclasses

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
# Bytes of a row with a weight, at the peak of a training (test_memory.py measures them). Its columns, before and after
# rows are held out, and the order of a shuffle. With positives, also the pairs of held-out entities. With a solver,
# also its matrices, and with labels, those of each further copy.
_COLUMNS = 16
_DESCENT, _RANKED = 48, 88
_MATRICES = {"regression": (136, 46), "logistic": (176, 80)}
# Rows that are dealt to shards at a time, and their bytes.
_DEALT, _OF_DEALT = 1 << 20, 64


@dataclasses.dataclass(frozen=True)
class Streaming:
    """Why a training streams its pairs from disk.

    Attributes:
      needed: the bytes of the pairs in memory.
      free: the bytes that are free for them.
    """

    needed: int
    free: int

    def describe(self) -> str:
        """Returns the reason in a sentence."""
        return (
            f"pairs streamed from disk, because in memory they need about {_gigabytes(self.needed)}, and "
            f"{_gigabytes(self.free)} are free for them"
        )


def streaming(
    rows: int, sizes: TableSizes, model: ModelSettings, settings: TrainSettings, searched: bool
) -> Streaming | None:
    """Returns why a training must stream its pairs, or None if it can hold them, or if its solver must.

    Streamed rows come in another random order.

    Args:
      rows: the number of training pairs.
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.
      searched: whether a search chooses settings. It needs the pairs in memory, and may choose small tables.
    """
    free = available()
    if searched:
        pairs = rows * _MATRICES.get(model.objective, (_RANKED, 0))[0]
    elif has_solver(model.objective, settings.optimizer):
        return None
    else:
        pairs = rows * _row_bytes(model, settings)
        free -= sum(needed(sizes, model, settings).values())
    return Streaming(pairs, max(free, 0)) if pairs > free else None


def needed(sizes: TableSizes, model: ModelSettings, settings: TrainSettings) -> dict[str, int]:
    """Estimates memory by purpose: tables, optimizer, batch and publishing, in bytes. Pairs come in addition.

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


def pair_bytes(rows: int, model: ModelSettings, settings: TrainSettings, streamed: bool = False) -> int:
    """Returns the bytes of the pairs of a training at its peak.

    Args:
      rows: the number of training pairs.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.
      streamed: whether they are on disk.
    """
    return min(rows, _DEALT) * _OF_DEALT if streamed else rows * _row_bytes(model, settings)


def _row_bytes(model: ModelSettings, settings: TrainSettings) -> int:
    if not has_solver(model.objective, settings.optimizer):
        return _DESCENT if model.objective == "regression" else _RANKED
    first, other = _MATRICES.get(model.objective, (_RANKED, 0))
    return first + (settings.als.copies - 1) * other


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


def check(
    sizes: TableSizes,
    model: ModelSettings,
    settings: TrainSettings,
    rows: int = 0,
    streamed: bool = False,
    loaded: bool = True,
) -> None:
    """Checks that a training fits in memory.

    Args:
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      settings: section `train` of the pipeline file.
      rows: the number of training pairs.
      streamed: whether they are on disk.
      loaded: whether their columns are in memory already.

    Raises:
      TrainingTooLarge: it does not fit. The message has the estimate, the free memory, and settings that reduce it.
    """
    parts, free = needed(sizes, model, settings), available()
    parts["pairs"] = pair_bytes(rows, model, settings, streamed)
    if loaded and not streamed:
        parts["pairs"] -= rows * _COLUMNS
    total = sum(parts.values())
    if total <= free:
        return
    listed = ", ".join(f"{name} {_gigabytes(size)}" for name, size in parts.items() if size)
    solved = has_solver(model.objective, settings.optimizer)
    raise TrainingTooLarge(
        f"train: {rows:,} pairs of {sizes.left:,} left and {sizes.right:,} right entities with model.dimension "
        f"{model.dimension} need about {_gigabytes(total)} ({listed}), and {_gigabytes(free)} are free. Lower "
        f"model.dimension or train.batch_size, choose {streaming_choice(model) if solved else _SMALL}, or keep fewer "
        "entities by encode.min_count or encode.max_vocabulary"
    )


_SMALL = "train.optimizer: adagrad"


def streaming_choice(model: ModelSettings) -> str:
    """Returns the setting that replaces a solver by gradient descent, which can stream pairs."""
    return "model.objective: softmax" if model.objective in WHOLE_DATA else _SMALL


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
