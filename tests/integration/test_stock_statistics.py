"""TFX's own StatisticsGen reads the examples, and finds the same statistics as ours."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.statistics_gen.executor import Executor as StockExecutor
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts

from components.pair_example_gen.executor import FILE_FORMAT
from components.pair_statistics import distribution
from components.pair_statistics.protos import statistics_of
from tests import written_examples

pytestmark = pytest.mark.tensorflow

SCHEMA = text_format.Parse((Path(__file__).parents[2] / "schemas" / "pairs.pbtxt").read_text(), schema_pb2.Schema())
ARGUMENTS = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]


def test_stock_statistics_are_the_same(tmp_path: Path) -> None:
    draw = random.Random(2)
    train, held_out = (
        [(b"l%d" % draw.randrange(9), b"r%d" % draw.randrange(40), draw.randrange(100) / 4) for _ in range(count)]
        for count in (500, 60)
    )
    examples = written_examples.write(tmp_path / "examples", train, held_out, per_shard=200)
    for split, stock in _stock(tmp_path, examples.uri).items():
        (ours,) = statistics_of(distribution.of_split(examples, split)).datasets
        (theirs,) = stock.datasets
        assert ours.num_examples == theirs.num_examples
        _same({f.path.step[0]: f for f in ours.features}, {f.path.step[0]: f for f in theirs.features})


def _stock(folder: Path, uri: str) -> dict[str, Any]:
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = uri, '["train", "eval"]'
    examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_PARQUET)
    examples_utils.set_file_format(artifact, FILE_FORMAT)
    schema, statistics = standard_artifacts.Schema(), standard_artifacts.ExampleStatistics()
    schema.uri, statistics.uri = str(folder / "schema"), str(folder / "statistics")
    Path(schema.uri).mkdir()
    Path(schema.uri, "schema.pbtxt").write_text(text_format.MessageToString(SCHEMA))
    context = StockExecutor.Context(beam_pipeline_args=ARGUMENTS, tmp_dir=str(folder / "temporary"), unique_id="1")
    StockExecutor(context).Do({"examples": [artifact], "schema": [schema]}, {"statistics": [statistics]}, {})
    return {
        split: tfdv.load_stats_binary(str(Path(statistics.uri, f"Split-{split}", "FeatureStats.pb")))
        for split in ("train", "eval")
    }


def _same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == {"left_id", "right_id", "score"} and ours.keys() <= theirs.keys()
    for name in ("left_id", "right_id"):
        mine, other = ours[name].string_stats, theirs[name].string_stats
        assert (mine.unique, mine.common_stats.num_non_missing) == (other.unique, other.common_stats.num_non_missing)
        assert mine.avg_length == pytest.approx(other.avg_length)
        assert [value.frequency for value in mine.top_values] == [value.frequency for value in other.top_values]
    mine, other = ours["score"].num_stats, theirs["score"].num_stats
    for field in ("mean", "std_dev", "min", "max", "num_zeros"):
        assert getattr(mine, field) == pytest.approx(getattr(other, field), rel=1e-5), field
    # TFDV's median is a value of the sample, and does not lie between two of them.
    assert mine.median == pytest.approx(other.median, abs=0.25)
