"""What can be refused in the first second, before a library is imported or a file written."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from components.pair_example_gen.chunks import check_head
from components.pair_example_gen.files import fingerprint, is_remote
from components.pair_example_gen.source import check_span, find_files, has_span, split_path
from pipeline import beam
from pipeline.config import PipelineConfig, candidates_layout, ingest_settings
from pipeline.errors import ConfigError


def with_workers(config: PipelineConfig) -> PipelineConfig:
    """`config` with the number of processes that is fastest here for its files; of spans the size is not known yet."""
    if config.beam.profile != "local" or config.beam.direct_workers is not None or is_remote(config.data.path):
        return config
    base, pattern = split_path(config.data.path)
    size = 0 if has_span(pattern) else sum(fingerprint(file)[0] for file in find_files(base, pattern))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = beam.workers_for(size, cores, psutil.virtual_memory().total)
    return config.model_copy(update={"beam": config.beam.model_copy(update={"direct_workers": workers})})


def check_inputs(config: PipelineConfig) -> None:
    """Looks whether the files that `config` names are there and begin as it says.

    Raises:
      InputError: no file of pairs, or one that cannot be read, is empty, or lacks a column.
      ConfigError: there is no schema file.
    """
    if not is_remote(config.schema_path) and not Path(config.schema_path).is_file():
        raise ConfigError(f"schema: {config.schema_path}: no such file; leave `schema` out for the curated one")
    if config.evaluate.candidates is not None:
        check_head(config.evaluate.candidates, candidates_layout(config))
    layout = ingest_settings(config).layout
    base, pattern = split_path(config.data.path)
    if has_span(pattern):
        # Which span is read is for TFX's driver to find, and the executor looks at its files.
        check_span(base, pattern)
        return
    for file in find_files(base, pattern):
        check_head(file, layout)
