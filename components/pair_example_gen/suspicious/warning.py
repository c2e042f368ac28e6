"""A warning about values that look like a mistake, and the file of the warnings of a run."""

from __future__ import annotations

import dataclasses
import json
import os

import tensorflow as tf

WARNINGS_FILE = "warnings.json"


@dataclasses.dataclass(frozen=True)
class DataWarning:
    """Values of one kind that look like a mistake.

    Attributes:
      kind: a word for scripts, such as `missing_words`.
      column: key of the column in the pipeline file, such as `data.columns.left`.
      count: number of rows with such values.
      examples: some of the values.
      text: what was found and what to do, in a sentence or two. It starts after the column.
    """

    kind: str
    column: str
    count: int
    examples: list[str]
    text: str

    def __str__(self) -> str:
        return f"{self.column}: {self.text}"


def write(warnings: list[DataWarning], examples_uri: str) -> None:
    """Writes the warnings into an examples artifact."""
    with tf.io.gfile.GFile(os.path.join(examples_uri, WARNINGS_FILE), "w") as out:
        json.dump([dataclasses.asdict(warning) for warning in warnings], out, indent=1)


def read(examples_uri: str) -> list[DataWarning]:
    """Reads the file that `write` wrote. Returns an empty list for older artifacts without one."""
    path = os.path.join(examples_uri, WARNINGS_FILE)
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as source:
        return [DataWarning(**warning) for warning in json.load(source)]
