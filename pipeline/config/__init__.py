"""A pipeline file as one frozen, validated model.

Example:
    config = load_config(Path("examples/word_pairs/pipeline.yaml"), overrides=["train.epochs=5"])
    config.train.epochs  # 5
"""

from pipeline.config.defaults import SCHEMA, SCHEMA_OF_POSITIVES
from pipeline.config.ingest import candidate_files, copied_objects, ingest_settings
from pipeline.config.load import build_config, load_config, load_input_sections
from pipeline.config.pipeline_file import PipelineConfig

__all__ = [
    "SCHEMA",
    "SCHEMA_OF_POSITIVES",
    "PipelineConfig",
    "build_config",
    "candidate_files",
    "copied_objects",
    "ingest_settings",
    "load_config",
    "load_input_sections",
]
