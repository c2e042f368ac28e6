"""Runs PairExampleGen's executor in this process, and reads back what it wrote."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindows
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from components.artifacts import Quarantine
from components.pair_example_gen.executor import Executor
from components.pair_example_gen.rules import IN_EVAL, TIME, pairs_schema
from components.pair_example_gen.settings import ColumnSettings, IngestSettings, PairFiles
from components.pair_example_gen.source import split_path
from tests import written_examples
from trainer.data.examples import SPLITS, Examples


def layout(**columns: Any) -> PairFiles:
    return PairFiles(path="not read", columns=ColumnSettings(**columns))


NAMES = layout(left="left", right="right", score="score")
NUMBERS = layout(left=0, right=1, score=2)

Row = tuple[Any, ...]


def settings(
    layout: PairFiles = NAMES, split_by: str = "pair", eval_fraction: float = 0.3, **changes: Any
) -> IngestSettings:
    split = {"by": split_by, "eval_fraction": eval_fraction}
    return IngestSettings(**{**dict(layout), "split": split, "max_quarantined_fraction": 1.0, **changes})


@dataclasses.dataclass(frozen=True)
class Ingested:
    """`train` and `eval` rows `(left, right[, score][, weight])` in no order; `bad` rows as the quarantine has them."""

    train: list[Row]
    eval: list[Row]
    bad: list[dict[str, Any]]
    properties: dict[str, int]

    @property
    def rows(self) -> list[Row]:
        return sorted(self.train + self.eval)


def _beam() -> beam.Pipeline:
    return beam.Pipeline(argv=["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"])


class Inline:
    """The elements of a pipeline whose steps are done on the spot: a twentieth of the time of a Beam runner.

    It knows Create, ParDo with its side inputs, FlatMap, Reshuffle and ToList.
    """

    windowing, element_type = beam.transforms.core.Windowing(GlobalWindows()), Any

    def __init__(self, elements: list[Any] | None = None) -> None:
        self._elements = elements or []

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(self._elements)

    def __or__(self, labelled: Any) -> Inline:
        transform = labelled.transform
        if isinstance(transform, beam.Create):
            return Inline(list(transform.values))
        if isinstance(transform, beam.combiners.ToList):
            return Inline([self._elements])
        if isinstance(transform, beam.ParDo):
            return Inline(list(self._bundle(transform.fn, [list(side.pvalue) for side in transform.side_inputs])))
        assert isinstance(transform, beam.Reshuffle)
        return self

    def _bundle(self, function: beam.DoFn, sides: list[Any]) -> Iterator[Any]:
        """Yields what a function makes of all elements in one bundle."""
        function.start_bundle()
        for element in self._elements:
            yield from function.process(element, *sides) or ()
        for output in function.finish_bundle() or ():
            yield output.value


def ingest(
    path: Path, out: Path, wanted: IngestSettings, inline: bool = False, arguments: list[str] | None = None
) -> Ingested:
    """What becomes of the files at `path`; `inline`: without Beam; `arguments`: options of Beam."""
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = str(out / "examples" / "1"), str(out / "quarantine" / "1")
    for artifact in (examples, quarantine):
        Path(artifact.uri).mkdir(parents=True)
    base, pattern = split_path(str(path))
    split = example_gen_pb2.Input.Split(name="span-0", pattern=pattern)
    # Without a function, TFX makes the pipeline from the options.
    make_pipeline = Inline if inline else None if arguments else _beam
    Executor(BaseBeamExecutor.Context(arguments, make_beam_pipeline_fn=make_pipeline)).Do(
        {},
        {"examples": [examples], "quarantine": [quarantine]},
        {
            "settings": wanted.model_dump_json(),
            "input_base": base,
            "input_config": proto_utils.proto_to_json(example_gen_pb2.Input(splits=[split])),
        },
    )
    counts = {
        name: examples.get_int_custom_property(f"rows_{name}") for name in ("train", "eval", "read", "weightless")
    }
    counts["quarantined"] = quarantine.get_int_custom_property("rows")
    rows = _examples(Path(examples.uri), wanted)
    return Ingested(rows["train"], rows["eval"], read_quarantine(Path(quarantine.uri)), counts)


def read_quarantine(directory: Path) -> list[dict[str, Any]]:
    rows = [row for file in sorted(directory.rglob("*.parquet")) for row in pa.parquet.read_table(file).to_pylist()]
    return sorted(rows, key=lambda row: (row["file"], row["line"] or row["row"] or 0))


def _examples(directory: Path, wanted: IngestSettings) -> dict[str, list[Row]]:
    """Returns the rows of each split in its Parquet files, which the rows of codes must equal."""
    columns = [name for name in pairs_schema(wanted.columns, wanted.weighted).names if name != IN_EVAL]
    found: dict[str, list[Row]] = {}
    for split in SPLITS:
        files = sorted(Path(directory, f"Split-{split}").iterdir())
        assert files, "a split has a file even where it has no row"
        tables = [pa.parquet.ParquetFile(file).read() for file in files]
        assert all(table.schema.names == columns for table in tables)
        values = [row for table in tables for row in table.drop_columns([TIME][: TIME in columns]).to_pylist()]
        found[split] = [tuple(value for (value,) in row.values()) for row in values]
    assert written_examples.read(Examples(str(directory))) == found
    return found


def example(**values: Any) -> bytes:
    """A serialized tf.Example; each value a list of bytes, ints or floats."""
    kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
    found = tf.train.Example()
    for name, value in values.items():
        feature = found.features.feature[name]
        if value:
            getattr(feature, kinds[type(value[0])]).value.extend(value)
    return bytes(found.SerializeToString())


def write_tfrecord(path: Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path), "GZIP" if path.name.endswith(".gz") else "") as out:
        for record in records:
            out.write(record)


def write_parquet(path: Path, columns: dict[str, Any], **options: Any) -> None:
    pa.parquet.write_table(pa.table(columns), path, **options)
