"""The same job on stock TFX components, wired as TFX's own templates wire them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.transform.component import Transform
from tfx.dsl.components.base.base_node import BaseNode

from pipeline.config import PipelineConfig


def prepare_nodes(config: PipelineConfig, data: Path) -> list[BaseNode]:
    """Ingest, statistics, validation and Transform with TFX's defaults, and the preprocessing of `config`."""
    example_gen = CsvExampleGen(input_base=str(data))
    examples = example_gen.outputs["examples"]
    statistics = StatisticsGen(examples=examples)
    schema = ImportSchemaGen(schema_file=config.schema_path)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    custom_config: dict[str, Any] = {"encode": config.encode.model_dump(), "score": config.score.model_dump()}
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="trainer.preprocessing.preprocessing_fn",
        custom_config=custom_config,
    )
    return [example_gen, statistics, schema, validator, transform]
