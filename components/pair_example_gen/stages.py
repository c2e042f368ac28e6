"""What Beam workers do: cut files, read chunks, judge complete pairs part by part, merge ids, and write codes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from components.pair_example_gen import age, duplicates, entities, files, shards, spill
from components.pair_example_gen.quarantine import QuarantineWriter
from components.pair_example_gen.reading import chunks
from components.pair_example_gen.reading.chunks import Chunk
from components.pair_example_gen.reports import Report
from components.pair_example_gen.rows import describe_position
from components.pair_example_gen.rules import TIME, Checked, RowRules, encode_ids, pairs_schema
from components.pair_example_gen.settings import IngestSettings
from components.pair_example_gen.shards import ShardWriter, split_by_row, timed_split
from errors import InputError
from kindred import progress
from trainer import features
from trainer.data.examples import EVAL, TRAIN, entities_file

READ_ROWS = "read"
_SHOWN_PAIRS = 3

_Written = tuple[dict[str, int], list[str]]  # number of rows of each split, and names of shards


@dataclasses.dataclass(frozen=True)
class IngestPaths:
    """Output directories, and the number of parts of the spilled rows (0 if nothing is spilled)."""

    examples: str
    quarantine: str
    work: str
    parts: int = 0

    def below(self, folder: str) -> IngestPaths:
        """Returns the same directories below another folder or URL."""
        return IngestPaths(f"{folder}/examples", f"{folder}/quarantine", f"{folder}/work", self.parts)

    def reports(self, stage: str) -> str:
        """Returns the directory for the reports of a stage."""
        return os.path.join(self.work, f"reports-{stage}")

    def spilled(self, chunk: str) -> str:
        """Returns the spill file of a chunk."""
        return os.path.join(self.work, f"spilled-{chunk}.arrow")

    def whole(self, part: int) -> str:
        """Returns the file of a judged part, kept until the cutoff is known."""
        return os.path.join(self.work, f"whole-{part:05d}.arrow")


class CutFile:
    """Cuts (number, file) into chunks. Reports the columns of the file, or the reason why it is unreadable."""

    def __init__(self, settings: IngestSettings, paths: IngestPaths) -> None:
        self._settings = settings
        self._paths = paths

    def __call__(self, element: tuple[int, str]) -> Iterator[Chunk]:
        """Yields the chunks of a file, or none if it is unreadable."""
        number, file = element
        report = Report(file=file)
        try:
            description = chunks.describe(file, self._settings)
            report.columns = list(description.names) if description.names is not None else None
            compression = files.compression_of(file)
            report.recognized = [*([f"{compression} compression"] if compression else []), *description.recognized]
            yield from chunks.cut(number, file, self._settings, head=description.head)
        except InputError as error:
            report.fault = str(error)
        report.write(self._paths.reports("cut"), f"{number:05d}")


class ReadChunk:
    """Reads a chunk. Bad rows go to the quarantine, good ones to the splits, or to a spill file.

    Args:
      settings: section `data`.
      paths: where the rows go.
      ages: the age of each file, in spans.
    """

    def __init__(self, settings: IngestSettings, paths: IngestPaths, ages: list[int]) -> None:
        self._settings = settings
        self._paths = paths
        self._ages = ages

    def __call__(self, chunk: Chunk) -> list[str]:
        """Writes the rows and a report. Returns the names of the shards."""
        report = Report(file=chunk.file)
        try:
            self._read(chunk, report)
        except InputError as error:
            report.fault = str(error)
        report.write(self._paths.reports("read"), chunk.name)
        progress.advance("rows", 0, worked=chunk.size)
        return report.shards

    def _read(self, chunk: Chunk, report: Report) -> None:
        rules = RowRules(self._settings)
        with QuarantineWriter(self._paths.quarantine, chunk.name, self._paths.work) as quarantine:
            write = self._spill if self._paths.parts else self._write
            report.rows, report.shards = write(chunk, self._checked(chunk, rules, quarantine, report))
        report.reasons = dict(quarantine.reasons)

    def _checked(
        self, chunk: Chunk, rules: RowRules, quarantine: QuarantineWriter, report: Report
    ) -> Iterator[Checked]:
        for rows in chunks.read(chunk, self._settings):
            checked = rules.check(chunk.file, rows)
            quarantine.write(checked.bad)
            progress.advance("rows", checked.pairs.num_rows, worked=0)
            if checked.numbers_as_time:
                report.numbers_as_time = chunk.file
            if checked.dates_as_time:
                report.dates_as_time = chunk.file
            yield self._aged(self._weighty(checked, report), chunk, report)

    def _weighty(self, checked: Checked, report: Report) -> Checked:
        """Returns the rows with a weight above 0, and counts the others by split."""
        if self._settings.columns.weight is None:
            return checked
        weights = checked.pairs[features.WEIGHT].to_numpy()
        if weights.all():
            return checked
        left_out = checked.pairs.take(pa.array(np.flatnonzero(weights == 0)))
        if self._settings.split.by == "time":
            report.add_weightless({READ_ROWS: left_out.num_rows})
        else:
            evaluated = int(split_by_row(left_out, self._settings).sum())
            report.add_weightless({EVAL: evaluated, TRAIN: left_out.num_rows - evaluated})
        kept = np.flatnonzero(weights)
        return dataclasses.replace(
            checked, pairs=checked.pairs.take(pa.array(kept)), positions=checked.positions.take(kept)
        )

    def _aged(self, checked: Checked, chunk: Chunk, report: Report) -> Checked:
        """Returns the rows with weights by the age of their span, or notes the newest time for weights by time."""
        wanted = self._settings.age_weight
        if wanted is None or not checked.pairs.num_rows:
            return checked
        if wanted.by == "time":
            newest = float(checked.pairs[TIME].to_numpy().max())
            report.newest = newest if report.newest is None else max(report.newest, newest)
            return checked
        pairs = age.with_span_weight(checked.pairs, self._ages[_file_number(chunk)], wanted.half_life)
        return dataclasses.replace(checked, pairs=pairs)

    def _write(self, chunk: Chunk, blocks: Iterator[Checked]) -> _Written:
        with ShardWriter(self._paths.examples, chunk.name, self._paths.work) as writer:
            for block in blocks:
                pairs = encode_ids(block.pairs)
                writer.write(pairs, split_by_row(pairs, self._settings))
        return dict(writer.rows), writer.shards

    def _spill(self, chunk: Chunk, blocks: Iterator[Checked]) -> _Written:
        schema, with_origin = spill_schema(self._settings), self._settings.duplicates == "refuse"
        number, count = _file_number(chunk), 0
        path, unordered = self._paths.spilled(chunk.name), self._settings.unordered
        with spill.SpillWriter(path, schema, self._paths.parts, unordered) as writer:
            for block in blocks:
                pairs = spill.with_origin(block.pairs, number, block.positions) if with_origin else block.pairs
                writer.write(pairs)
                count += pairs.num_rows
        return {READ_ROWS: count}, []


def _file_number(chunk: Chunk) -> int:
    return int(chunk.name.split("-")[0])


def spill_schema(settings: IngestSettings) -> pa.Schema:
    """Returns the columns of spilled rows."""
    by_span = settings.age_weight is not None and settings.age_weight.by == "span"
    schema = pairs_schema(settings.columns, by_span)
    for name, type_ in spill.ORIGIN if settings.duplicates == "refuse" else ():
        schema = schema.append(pa.field(name, type_))
    return schema


class JudgePart:
    """Applies the duplicate policy to a part. Writes it to the splits, or to disk if the cutoff is unknown.

    Args:
      settings: section `data`.
      paths: where the rows go.
      spilled: the files of spilled rows.
      files: the input files.
      newest: the newest time of all rows, if rows have weights by time.
    """

    def __init__(
        self, settings: IngestSettings, paths: IngestPaths, spilled: list[str], files: list[str], newest: float | None
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._spilled = spilled
        self._files = files
        self._newest = newest

    def __call__(self, part: int) -> list[str]:
        """Writes the rows of a part and a report. Returns the names of the shards."""
        pairs = spill.read_part(self._spilled, part, self._paths.parts)
        wanted = self._settings.age_weight
        if wanted is not None and wanted.by == "time":
            assert self._newest is not None
            pairs = age.with_time_weight(pairs, self._newest, wanted.half_life)
        unordered = self._settings.unordered
        groups = duplicates.group(pairs, unordered)
        report = Report()
        if self._settings.duplicates == "refuse":
            report.repeated_pairs, shown = duplicates.repeated(pairs, groups, _SHOWN_PAIRS)
            report.repeated = [self._describe(row) for row in shown.to_pylist()]
        elif self._settings.duplicates == "last":
            pairs = duplicates.keep_last(pairs, groups)
        elif self._settings.duplicates == "mean":
            pairs = duplicates.keep_mean(pairs, groups, unordered)
        if not report.repeated_pairs:
            # Without the origin of the rows.
            columns = pairs_schema(self._settings.columns, self._settings.weighted).names
            report.rows, report.shards = self._write(part, pairs.select(columns))
        report.write(self._paths.reports("judge"), f"{part:05d}")
        return report.shards

    def _write(self, part: int, pairs: pa.Table) -> _Written:
        if self._settings.split.by == "time":
            pairs = duplicates.with_newest_time(pairs, duplicates.group(pairs, self._settings.unordered))
            with files.writable(self._paths.whole(part)) as file, pa.ipc.new_file(file, pairs.schema) as out:
                out.write_table(pairs)
            return {READ_ROWS: pairs.num_rows}, []
        with ShardWriter(self._paths.examples, f"{part:05d}", self._paths.work) as writer:
            pairs = encode_ids(pairs)
            writer.write(pairs, split_by_row(pairs, self._settings))
        return dict(writer.rows), writer.shards

    def _describe(self, row: dict[str, object]) -> str:
        file = self._files[int(str(row["file"]))]
        line, group, number = (None if row[key] is None else int(str(row[key])) for key in ("line", "row_group", "row"))
        return f"{row['left_id']!r}, {row['right_id']!r}: {describe_position(file, line, group, number)}"


class SplitPart:
    """Writes a part to the splits by time."""

    def __init__(self, paths: IngestPaths, cutoff: float) -> None:
        self._paths = paths
        self._cutoff = cutoff

    def __call__(self, part: int) -> list[str]:
        """Writes the rows of a part and a report. Returns the names of the shards."""
        pairs = spill.read_part([self._paths.whole(part)], 0, 1)
        with ShardWriter(self._paths.examples, f"{part:05d}", self._paths.work) as writer:
            writer.write(pairs, timed_split(pairs, self._cutoff))
        Report(rows=dict(writer.rows)).write(self._paths.reports("split"), f"{part:05d}")
        return writer.shards


class MergeIds:
    """Merges the ids of all shards of a side, and writes the table of ids of the examples."""

    def __init__(self, paths: IngestPaths) -> None:
        self._paths = paths

    def __call__(self, element: tuple[str, list[str]]) -> list[str]:
        """Writes the table of a side, and the codes of the ids of each of its shards. Returns the side."""
        side, names = element
        work = self._paths.work
        read = ((shard, shards.read_ids(work, side, shard)) for shard in sorted(names))
        merged, rank = entities.merge(read, shards.places_folder(work, side))
        entities.write_column(rank, shards.rank_file(work, side), work)
        entities.write_table(merged.to_table(), entities_file(self._paths.examples, side), work)
        return [side]


class WriteCodes:
    """Writes the rows of a shard with the codes of the merged tables of ids."""

    def __init__(self, paths: IngestPaths) -> None:
        self._paths = paths

    def __call__(self, shard: str) -> list[str]:
        """Writes one file for each split that has rows."""
        shards.write_codes(self._paths.examples, self._paths.work, shard)
        return []
