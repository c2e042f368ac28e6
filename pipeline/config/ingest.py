"""Converts a pipeline file to the settings for reading files of pairs."""

from __future__ import annotations

from components.pair_example_gen.settings import ColumnSettings, IngestSettings, PairFiles
from components.pair_example_gen.text_files import TextFiles
from pipeline.config.pipeline_file import PipelineConfig


def ingest_settings(
    config: PipelineConfig, score_domain: tuple[float | None, float | None] = (None, None)
) -> IngestSettings:
    """Returns the settings of PairExampleGen.

    Args:
      config: the pipeline file.
      score_domain: the minimum and maximum score of the schema. None means no limit.
    """
    return IngestSettings(
        **dict(config.data),
        unordered=config.encode.shared,
        score_min=score_domain[0],
        score_max=score_domain[1],
    )


def candidate_files(config: PipelineConfig, path: str) -> PairFiles:
    """Returns how to read the file `evaluate.candidates`. Its columns have the same names as those of the pairs.

    Args:
      config: the pipeline file.
      path: path of the candidates.
    """
    columns = ColumnSettings(left=config.data.columns.left, right=config.data.columns.right)
    as_pairs = {key: getattr(config.data, key) for key in TextFiles.model_fields}
    return PairFiles(path=path, columns=columns, **as_pairs)
