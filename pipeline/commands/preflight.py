"""What can be refused in the first second, before a library is imported or a file written."""

from __future__ import annotations

from pathlib import Path

from components.pair_example_gen.chunks import check_head
from components.pair_example_gen.files import is_remote
from components.pair_example_gen.source import check_span, find_files, has_span, split_path
from errors import ConfigError
from pipeline.config import PipelineConfig, candidate_files


def check_inputs(config: PipelineConfig) -> None:
    """Looks whether the files that `config` names are there and begin as it says.

    Raises:
      InputError: no file of pairs, or one that cannot be read, is empty, or lacks a column.
      ConfigError: there is no schema file.
    """
    if not is_remote(config.schema_path) and not Path(config.schema_path).is_file():
        raise ConfigError(f"schema: {config.schema_path}: no such file. Omit `schema` to use the curated one")
    candidates = config.evaluate.candidates
    if candidates is not None:
        check_head(candidates, candidate_files(config, candidates))
    base, pattern = split_path(config.data.path)
    if has_span(pattern):
        # Which span is read is for TFX's driver to find, and the executor looks at its files.
        check_span(base, pattern)
        return
    for file in find_files(base, pattern):
        check_head(file, config.data)
