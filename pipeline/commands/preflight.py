"""Checks the input files before heavy libraries are imported or a file is written."""

from __future__ import annotations

from pathlib import Path

from components.pair_example_gen.entity_features.layout import check_heads
from components.pair_example_gen.files import is_remote
from components.pair_example_gen.objects import with_copies
from components.pair_example_gen.reading.chunks import check_head
from components.pair_example_gen.source import check_span, has_span, split_path
from components.pair_example_gen.spans import choose, find_all
from errors import ConfigError
from pipeline.config import PipelineConfig, candidate_files, copied_objects
from pipeline.records.root import Root


def check_inputs(config: PipelineConfig, root: Root) -> None:
    """Checks that the input files of `config` exist and begin with the expected columns. Downloads objects.

    Args:
      config: the pipeline file.
      root: keeps the copies of objects.

    Raises:
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
      InputError: there is no file of pairs, or a file is unreadable, is empty, or lacks a column.
      ConfigError: the schema file does not exist.
    """
    if not is_remote(config.schema_path) and not Path(config.schema_path).is_file():
        raise ConfigError(f"schema: {config.schema_path}: no such file. Omit `schema` to use the curated one")
    candidates = config.evaluate.candidates
    if candidates is not None:
        check_head(candidates, candidate_files(config, candidates))
    copied, data = copied_objects(config, str(root.inputs)), config.data
    if copied is not None:
        data = with_copies(data, copied)
    for side, features in data.features.items():
        check_heads(side, features)
    base, pattern = split_path(data.path)
    if has_span(pattern):
        # The executor checks the files of the spans.
        check_span(base, pattern)
    spans = choose(base, pattern, data)
    if has_span(pattern):
        return
    for file in find_all(base, spans, span_filled_in=False)[0].files:
        check_head(file, data)
