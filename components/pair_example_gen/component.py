"""PairExampleGen: a file-based ExampleGen for pairs, with TFX's own span and version driver."""

from __future__ import annotations

from tfx import types
from tfx.components.example_gen import driver
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import component_spec, standard_artifacts

from components.artifacts import Quarantine
from components.pair_example_gen.executor import Executor
from components.pair_example_gen.source import Settings


class PairExampleGenSpec(types.ComponentSpec):
    """Parameters and outputs of PairExampleGen."""

    PARAMETERS = {
        "input_base": component_spec.ExecutionParameter(type=str),
        "input_config": component_spec.ExecutionParameter(type=example_gen_pb2.Input),
        "settings": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "quarantine": component_spec.ChannelParameter(type=Quarantine),
    }


class PairExampleGen(base_beam_component.BaseBeamComponent):
    """Reads files of pairs into train and eval splits of tf.Examples, and sets bad rows aside in a quarantine.

    Args:
      input_base: base directory of the input files.
      pattern: glob or span pattern below `input_base`. `source.split_path` makes both from a path.
      settings: file layout, split, duplicate policy and row rules.

    Outputs:
      examples: `Examples` with splits `train` and `eval`. Each tf.Example has `left_id` and `right_id` (one bytes value
        each) and, where configured, `score` and `weight` (one float each).
      quarantine: Parquet files of bad rows, each with its place in the file, the reason and the raw text.

    Example:
      base, pattern = split_path("/data/pairs/*.csv")
      example_gen = PairExampleGen(base, pattern, settings)
    """

    SPEC_CLASS = PairExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = driver.FileBasedDriver

    def __init__(self, input_base: str, pattern: str, settings: Settings) -> None:
        """Creates the component."""
        split = example_gen_pb2.Input.Split(name="pairs", pattern=pattern)
        super().__init__(
            PairExampleGenSpec(
                input_base=input_base,
                input_config=example_gen_pb2.Input(splits=[split]),
                settings=settings.to_json(),
                examples=types.Channel(type=standard_artifacts.Examples),
                quarantine=types.Channel(type=Quarantine),
            )
        )
