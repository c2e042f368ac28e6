"""PairExampleGen: a file-based ExampleGen for pairs, with TFX's spans and versions."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from typing_extensions import Self

from components.artifacts import Quarantine
from components.declaration import Component
from components.pair_example_gen.driver import Driver
from components.pair_example_gen.executor import Executor
from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.source import split_path


class PairExampleGen(Component, base_beam_component.BaseBeamComponent, executor=Executor):
    """Reads files of pairs into train and eval splits of tf.Examples, and sets bad rows aside in a quarantine.

    Args:
      input_base: base directory of the input files.
      input_config: glob or span pattern below `input_base`.
      settings: columns, split, duplicate policy and row rules.

    Outputs:
      examples: `Examples` with splits `train` and `eval`. Each tf.Example has `left_id` and `right_id` (one bytes value
        each) and, where configured, `score` and `weight` (one float each).
      quarantine: Parquet files of bad rows, each with its position in the file, the reason and the raw text.

    Example:
      example_gen = PairExampleGen.of(IngestSettings(path="/data/pairs/*.csv"))
    """

    DRIVER_CLASS = Driver
    OUTPUTS = {"examples": standard_artifacts.Examples, "quarantine": Quarantine}

    input_base: str
    input_config: example_gen_pb2.Input
    settings: IngestSettings

    @classmethod
    def of(cls, settings: IngestSettings) -> Self:
        """Returns the component that reads `settings.path`."""
        base, pattern = split_path(settings.path)
        split = example_gen_pb2.Input.Split(name="span-0", pattern=pattern)
        return cls(input_base=base, input_config=example_gen_pb2.Input(splits=[split]), settings=settings)
