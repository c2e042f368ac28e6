"""Loads the pairs of a training, in memory or on disk, whichever fits."""

from __future__ import annotations

from storage import disk
from trainer.data import dataset
from trainer.data.dataset import Encoder
from trainer.data.examples import TRAIN, Examples
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import ShardedPairs
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings, has_solver
from trainer.training import memory

STREAMING_FILE = "streaming.json"
"""Why the pairs of a training were streamed from disk, in the folder of the Trainer's `model_run`."""


def load(
    examples: Examples,
    encode: Encoder,
    sizes: TableSizes,
    model: ModelSettings,
    train: TrainSettings,
    directory: str,
    searched: bool,
) -> tuple[Pairs | ShardedPairs, str | None]:
    """Loads the train split.

    Args:
      examples: the examples.
      encode: the layer of the transform graph.
      sizes: the sizes of the embedding tables.
      model: section `model` of the pipeline file.
      train: section `train` of the pipeline file.
      directory: for pairs that are streamed. It must exist as long as they are used.
      searched: whether a search chooses settings if the pairs are in memory.

    Returns:
      The pairs, and why they are on disk, or None.

    Raises:
      TrainingTooLarge: a solver needs the pairs in memory, and they do not fit.
      DiskFull: pairs that do not fit in memory do not fit on the disk either.
    """
    rows = examples.count(TRAIN)
    streaming = memory.streaming(rows, sizes, model, train, searched)
    if has_solver(model.objective, train.optimizer) and not searched:
        memory.check(sizes, model, train, rows, loaded=False)
    if streaming:
        disk.require(directory, rows * _LEAST_ROW, "the pairs of the training")
    limit = 0 if streaming else train.data_memory_mb << 20
    pairs = dataset.load(examples, encode, limit, directory, sizes.shared)
    if isinstance(pairs, Pairs):
        return pairs, None
    why = streaming.describe() if streaming else _BY_SETTING.format(train.data_memory_mb)
    return pairs, f"{why}{_NOT_SEARCHED if searched else ''}"


_LEAST_ROW = 12  # two rows of tables and a label
_BY_SETTING = "pairs streamed from disk, because they need more than train.data_memory_mb {:,}"
_NOT_SEARCHED = ". Settings were not searched, because that needs pairs in memory: those of the file and defaults hold"
