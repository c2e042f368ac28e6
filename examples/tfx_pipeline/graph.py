"""A TFX pipeline that mixes stock components with those of Kindred.

python -m examples.tfx_pipeline.graph PAIRS.csv ROOT
"""

from __future__ import annotations

import os
import sys

from tfx import types
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts

from components.evaluator.component import PairEvaluator
from components.pair_example_gen.component import PairExampleGen
from components.pair_example_gen.settings import ColumnSettings, IngestSettings
from components.pair_transform.component import PairTransform
from components.pusher.component import VersionPusher, push_destination
from pipeline.config import SCHEMA
from trainer.custom_config import trainer_config
from trainer.settings import ModelSettings, TrainSettings


def create_pipeline(pairs: str, root: str) -> Pipeline:
    """Returns a pipeline from a file of ratings to published versions in ROOT/serving.

    Args:
      pairs: a CSV file with columns `user`, `film` and `stars`.
      root: where artifacts, metadata and versions are stored.
    """
    columns = ColumnSettings(left="user", right="film", score="stars")
    example_gen = PairExampleGen.of(IngestSettings(path=pairs, columns=columns))
    statistics = StatisticsGen(examples=example_gen.outputs["examples"])
    schema = ImportSchemaGen(schema_file=str(SCHEMA))
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    transform = PairTransform(examples=example_gen.outputs["examples"], schema=schema.outputs["schema"])
    trainer = Trainer(
        run_fn="trainer.run_fn.run_fn",
        custom_config=trainer_config(model=ModelSettings(dimension=8), train=TrainSettings(optimizer="als")),
        examples=example_gen.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
    )
    blessed = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("latest_blessed_model")
    evaluator = PairEvaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=blessed.outputs["model"],
    )
    pusher = VersionPusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=push_destination(os.path.join(root, "serving")),
        pipeline="films",
    )
    return Pipeline(
        pipeline_name="films",
        pipeline_root=os.path.join(root, "pipeline"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(os.path.join(root, "metadata.sqlite")),
        components=[
            example_gen, statistics, schema, validator, transform, trainer, blessed, evaluator, pusher,
        ],
        enable_cache=True,
        # Beam's default first downloads another engine, and leaves a temporary folder for each job.
        beam_pipeline_args=["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"],
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """Runs the pipeline. Returns the exit code."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    pairs, root = map(os.path.abspath, arguments)
    LocalDagRunner().run(create_pipeline(pairs, root))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
