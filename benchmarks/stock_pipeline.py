"""A complete pipeline of stock TFX components over a folder of CSV files, like in the templates of TFX.

    python -m benchmarks.stock_pipeline DATA ROOT [--epochs 3] [--dimension 32] [--batch-size 4096]

Runs CsvExampleGen, StatisticsGen, SchemaGen, ExampleValidator, Transform, Trainer (Keras with the data accessor of
TFX), Evaluator (one metric, one slice, a threshold) and Pusher with LocalDagRunner and the in-memory runner of Beam.
Classes are imported from their modules, because importing `tfx.v1`, as the templates do, takes five seconds more.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_model_analysis.proto import config_pb2
from tfx.components.evaluator.component import Evaluator
from tfx.components.example_gen.csv_example_gen.component import CsvExampleGen
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.pusher.component import Pusher
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.components.trainer.component import Trainer
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.transform.component import Transform
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher
from tfx.proto import example_gen_pb2, pusher_pb2, trainer_pb2
from tfx_bsl.tfxio import dataset_options

_THIS = "benchmarks.stock_pipeline"
_LEFT, _RIGHT, _LABEL = "left", "right", "label"
_SIDES = {_LEFT: "left_id", _RIGHT: "right_id"}


def main() -> None:
    """Runs the pipeline. Prints the seconds of each node."""
    description = str(__doc__).splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stock_pipeline", description=description)
    parser.add_argument("data")
    parser.add_argument("root")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--dimension", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=4096)
    arguments = parser.parse_args()
    _print_seconds()
    local_dag_runner.LocalDagRunner().run(_pipeline(arguments))


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Encodes ids by vocabulary and centers scores on their mean."""
    encoded = {
        name: tft.compute_and_apply_vocabulary(inputs[column], num_oov_buckets=1, vocab_filename=name)
        for name, column in _SIDES.items()
    }
    return encoded | {_LABEL: inputs["score"] - tft.mean(inputs["score"])}


def run_fn(fn_args: FnArgs) -> None:
    """Trains two embedding layers and their dot product, and exports the model with the transform graph."""
    config = fn_args.custom_config
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    options = dataset_options.TensorFlowDatasetOptions(batch_size=config["batch_size"], label_key=_LABEL)
    train = fn_args.data_accessor.tf_dataset_factory(
        fn_args.train_files, options, transform.transformed_metadata.schema
    ).repeat()
    inputs = {name: keras.Input((1,), name=name, dtype="int64") for name in _SIDES}
    vectors = [
        keras.layers.Flatten()(
            keras.layers.Embedding(transform.num_buckets_for_transformed_feature(name), config["dimension"])(side)
        )
        for name, side in inputs.items()
    ]
    model = keras.Model(inputs, keras.layers.Dot(axes=1)(vectors))
    model.compile(optimizer=keras.optimizers.Adagrad(0.1), loss="mse")
    model.fit(train, steps_per_epoch=fn_args.train_steps // config["epochs"], epochs=config["epochs"], verbose=2)
    _export(model, transform, fn_args.serving_model_dir)


def _export(model: keras.Model, transform: tft.TFTransformOutput, directory: str) -> None:
    layer = transform.transform_features_layer()
    spec = {name: feature for name, feature in transform.raw_feature_spec().items() if name != "score"}

    def serve(examples: tf.Tensor) -> tf.Tensor:
        raw = tf.io.parse_example(examples, spec)
        encoded = layer(raw)
        return model({name: encoded[name] for name in _SIDES})

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.track(layer)
    archive.add_endpoint("serving_default", serve, [tf.TensorSpec([None], tf.string, name="examples")])
    archive.write_out(directory, verbose=False)


def _pipeline(arguments: argparse.Namespace) -> pipeline.Pipeline:
    root = Path(arguments.root)
    return pipeline.Pipeline(
        pipeline_name="stock",
        pipeline_root=str(root / "pipeline"),
        components=_nodes(arguments, root),
        enable_cache=False,
        metadata_connection_config=metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite")),
        beam_pipeline_args=["--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"],
    )


def _nodes(arguments: argparse.Namespace, root: Path) -> list[BaseNode]:
    splits = [
        example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=buckets)
        for name, buckets in (("train", 9), ("eval", 1))
    ]
    output = example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=splits))
    examples = CsvExampleGen(input_base=arguments.data, output_config=output)
    statistics = StatisticsGen(examples=examples.outputs["examples"])
    schema = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn=f"{_THIS}.preprocessing_fn",
        custom_config={},
    )
    steps = -(-_rows(Path(arguments.data)) * 9 // 10 // arguments.batch_size) * arguments.epochs
    trainer = Trainer(
        run_fn=f"{_THIS}.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=trainer_pb2.TrainArgs(num_steps=steps),
        eval_args=trainer_pb2.EvalArgs(num_steps=1),
        custom_config={
            "epochs": arguments.epochs, "dimension": arguments.dimension, "batch_size": arguments.batch_size
        },
    )  # fmt: skip
    evaluator = Evaluator(
        examples=examples.outputs["examples"], model=trainer.outputs["model"], eval_config=_evaluation()
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(root / "serving"))
        ),
    )
    return [examples, statistics, schema, validator, transform, trainer, evaluator, pusher]


def _evaluation() -> config_pb2.EvalConfig:
    bound = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(upper_bound={"value": 1e9}))
    metric = config_pb2.MetricConfig(class_name="MeanSquaredError", threshold=bound)
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name="serving_default", label_key="score")],
        slicing_specs=[config_pb2.SlicingSpec()],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric])],
    )


def _rows(data: Path) -> int:
    """Returns the number of lines below the headers of the files in a folder."""
    return sum(len(path.read_bytes().splitlines()) - 1 for path in data.iterdir())


def _print_seconds() -> None:
    """Makes the launcher print the seconds of each node."""
    launch = launcher.Launcher.launch

    def timed(self: launcher.Launcher) -> Any:
        since = time.monotonic()
        result = launch(self)
        print(f"{self._pipeline_node.node_info.id} {time.monotonic() - since:.2f}", flush=True)
        return result

    launcher.Launcher.launch = timed


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
