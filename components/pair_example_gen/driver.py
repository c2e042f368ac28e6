"""Selects the spans and the files. TFX's driver selects one span, and neither reads nor fingerprints subfolders."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from tfx.components.example_gen import driver, utils
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs
from tfx.utils import proto_utils

from components.pair_example_gen import files, spans
from components.pair_example_gen.objects import with_copies
from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.source import find_files, has_span, split_path
from components.pair_example_gen.spans import Span

_NAME = "span-"


class Driver(driver.FileBasedDriver):
    """TFX's driver of file-based ExampleGens, with the spans that `data.spans` wants and the files of `source`."""

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, Any],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, Any]:
        """Adds the newest span, its version and the fingerprint of all files, and fills in the patterns of all spans.

        Data without spans is span 0. Objects are downloaded, and the paths of their copies replace the URLs.

        Raises:
          InputError: there is no such span, or no file.
          StoreError, StoreUnavailable: objects cannot be read.
        """
        base = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        config = example_gen_pb2.Input()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
        (split,) = config.splits
        pattern = split.pattern
        settings = IngestSettings.model_validate_json(exec_properties["settings"])
        if settings.copied is not None:
            settings = with_copies(settings, settings.copied)
            base, pattern = split_path(settings.path)
        chosen = spans.choose(base, pattern, settings)
        patterns = [span.pattern for span in chosen]
        return exec_properties | {
            "settings": settings.model_dump_json(),
            standard_component_specs.INPUT_BASE_KEY: base,
            standard_component_specs.INPUT_CONFIG_KEY: proto_utils.proto_to_json(to_input(chosen)),
            utils.SPAN_PROPERTY_NAME: chosen[-1].number,
            utils.VERSION_PROPERTY_NAME: chosen[-1].version,
            utils.FINGERPRINT_PROPERTY_NAME: fingerprint(base, *patterns, span_filled_in=has_span(pattern))
            + _of_features(settings),
        }


def to_input(spans: list[Span]) -> example_gen_pb2.Input:
    """Returns spans as the configuration of TFX's driver and executor, with one entry for each."""
    splits = (example_gen_pb2.Input.Split(name=f"{_NAME}{span.number}", pattern=span.pattern) for span in spans)
    return example_gen_pb2.Input(splits=splits)


def of_input(config: example_gen_pb2.Input) -> list[Span]:
    """Returns the spans that `to_input` stored."""
    return [Span(int(split.name.removeprefix(_NAME)), None, split.pattern) for split in config.splits]


def _of_features(settings: IngestSettings) -> str:
    """Returns a text that changes with the files of features, empty without any."""
    given = (split_path(files_of_side.path) for files_of_side in settings.features.values())
    return "".join(f",features:({fingerprint(*path)})" for path in given)


def fingerprint(base: str, *patterns: str, span_filled_in: bool = False) -> str:
    """Returns a text that changes with the names, the sizes or the times of the input files, as TFX's does.

    Raises:
      InputError: no file matches.
    """
    found = [file for pattern in patterns for file in find_files(base, pattern, span_filled_in).files]
    digest, total = hashlib.sha256(), 0
    for file in found:
        size, changed = files.fingerprint(file)
        total += size
        digest.update(f"{os.path.relpath(file, base)}\0{size}\0{changed}\n".encode())
    return f"num_files:{len(found)},total_bytes:{total},sha256:{digest.hexdigest()}"
