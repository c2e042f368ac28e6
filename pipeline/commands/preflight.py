"""Finds the faults of a pipeline's inputs before heavy libraries are imported or a file is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from components.pair_example_gen.entity_features.layout import check_heads
from components.pair_example_gen.files import is_remote
from components.pair_example_gen.objects import with_copies
from components.pair_example_gen.reading.chunks import check_head
from components.pair_example_gen.settings import DataSettings
from components.pair_example_gen.source import check_span, has_span, split_path
from components.pair_example_gen.spans import choose, find_all
from errors import ConfigError, InputError, KindredError
from pipeline.config import PipelineConfig, candidate_files, copied_objects
from pipeline.records.root import Root

_FAULTY_FILES = 5


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
    for fault in input_faults(config, root):
        raise fault


def input_faults(config: PipelineConfig, root: Root) -> Iterator[KindredError]:
    """Yields what `check_inputs` raises, every fault and not only the first. Looks for each one when it is asked for.

    Args:
      config: the pipeline file.
      root: keeps the copies of objects.
    """
    yield from faults_in(_check_schema, config.schema_path)
    yield from faults_in(_check_module, config.train.module_file)
    candidates = config.evaluate.candidates
    if candidates is not None:
        yield from faults_in(check_head, candidates, candidate_files(config, candidates))
    try:
        data = local_data(config, root)
    except KindredError as error:
        yield error
        return
    for side, features in data.features.items():
        yield from faults_in(check_heads, side, features)
    yield from _faults_of_pairs(data)


def faults_in(check: Callable[..., object], *arguments: object) -> Iterator[KindredError]:
    """Yields the error that a check raises, if any."""
    try:
        check(*arguments)
    except KindredError as error:
        yield error


def local_data(config: PipelineConfig, root: Root) -> DataSettings:
    """Returns section `data` with the paths of local copies in place of the URLs of objects, which it downloads.

    Raises:
      StoreError, StoreUnavailable, InputError: as `check_inputs`.
    """
    copied = copied_objects(config, str(root.inputs))
    return config.data if copied is None else with_copies(config.data, copied)


def _check_schema(path: str) -> None:
    if not is_remote(path) and not Path(path).is_file():
        raise ConfigError(f"schema: {path}: no such file. Omit `schema` to use the curated one")


def _check_module(path: str | None) -> None:
    if path is not None:
        from trainer.own import module  # imports TensorFlow

        module.read(path)


def _faults_of_pairs(data: DataSettings) -> Iterator[KindredError]:
    faulty = 0
    try:
        for file in pair_files(data):
            for error in faults_in(check_head, file, data):
                yield error
                faulty += 1
            if faulty == _FAULTY_FILES:
                yield InputError("data.path: other files may have faults too. Correct these first")
                return
    except KindredError as error:
        yield error


def pair_files(data: DataSettings) -> list[str]:
    """Returns the files of pairs that a run reads, those of the oldest span first.

    Raises:
      InputError: there is no file, or no such span.
    """
    base, pattern = split_path(data.path)
    if has_span(pattern):
        check_span(base, pattern)
    return find_all(base, choose(base, pattern, data), span_filled_in=has_span(pattern))[0].files
