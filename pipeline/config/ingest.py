"""Converts a pipeline file to the settings for reading files of pairs."""

from __future__ import annotations

from components.pair_example_gen import objects
from components.pair_example_gen.settings import ColumnSettings, CopiedObjects, IngestSettings, PairFiles
from components.pair_example_gen.text_files import TextFiles
from pipeline.config.pipeline_file import PipelineConfig


def ingest_settings(
    config: PipelineConfig, copies: str, score_domain: tuple[float | None, float | None] = (None, None)
) -> IngestSettings:
    """Returns the settings of PairExampleGen.

    Args:
      config: the pipeline file.
      copies: the folder for copies of objects.
      score_domain: the minimum and maximum score of the schema. None means no limit.
    """
    return IngestSettings(
        **dict(config.data),
        copied=copied_objects(config, copies),
        unordered=config.encode.shared,
        score_min=score_domain[0],
        score_max=score_domain[1],
    )


def copied_objects(config: PipelineConfig, copies: str) -> CopiedObjects | None:
    """Returns where the copies of input objects are, or None if all inputs are local files.

    Args:
      config: the pipeline file.
      copies: the folder for copies of objects.
    """
    return CopiedObjects(folder=copies, storage=config.storage) if objects.are_in(config.data) else None


def candidate_files(config: PipelineConfig, path: str) -> PairFiles:
    """Returns how to read the file `evaluate.candidates`. Its columns have the same names as those of the pairs.

    Args:
      config: the pipeline file.
      path: path of the candidates.
    """
    columns = ColumnSettings(left=config.data.columns.left, right=config.data.columns.right)
    as_pairs = {key: getattr(config.data, key) for key in TextFiles.model_fields}
    return PairFiles(path=path, columns=columns, **as_pairs)
