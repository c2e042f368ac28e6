"""Converts a pipeline file to the settings for reading files of pairs."""

from __future__ import annotations

from components.pair_example_gen.source import Layout, Settings
from pipeline.config.pipeline_file import PipelineConfig


def ingest_settings(config: PipelineConfig, score_domain: tuple[float | None, float | None] = (None, None)) -> Settings:
    """Returns the settings of PairExampleGen.

    Args:
      config: the pipeline file.
      score_domain: the minimum and maximum score of the schema. None means no limit.
    """
    columns = config.data.columns
    layout = Layout(config.data.format, **columns.model_dump(), quoting=config.data.quoting)
    return Settings(
        layout=layout,
        split_by=config.data.split.by,
        eval_fraction=config.data.split.eval_fraction,
        max_quarantined_fraction=config.data.max_quarantined_fraction,
        duplicates=config.data.duplicates,
        max_id_bytes=config.data.max_id_bytes,
        score_min=score_domain[0],
        score_max=score_domain[1],
    )


def candidates_layout(config: PipelineConfig) -> Layout:
    """Returns how to read the file `evaluate.candidates`. Its columns have the same names as those of the pairs."""
    columns = config.data.columns
    return Layout("auto", columns.left, columns.right, quoting=config.data.quoting)
