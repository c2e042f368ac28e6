"""A trainer of the user's own (train.module_file): what it reads, what it writes, and the contract of its model."""

from trainer.own.model import write_model
from trainer.own.pairs import TrainingPairs, read_pairs

__all__ = ["TrainingPairs", "read_pairs", "write_model"]
