"""The commands that answer for many entities or pairs: `recommend`, and `score` with `--input`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from errors import ConfigError, InputError
from kindred import progress
from kindred.terminal import say
from pipeline.options import ColumnsOption, JsonOption, QuietOption, SideOption, say_json
from serving.client import OTHER

if TYPE_CHECKING:
    import pyarrow as pa

    from components.pair_example_gen.settings import ColumnSettings
    from serving.local_model import LocalModel


def recommend(
    model: Annotated[str, typer.Option(metavar="PATH", help="A published model, a directory of versions, or its URL.")],
    output: Annotated[
        str, typer.Option(metavar="FILE|URL", help="The file or object to write: .parquet, .csv or .jsonl.")
    ],
    for_: Annotated[
        str, typer.Option("--for", metavar="all|FILE", help="Pairs, or ids in a .txt file with one in each line.")
    ] = "all",
    side: SideOption = "right",
    neighbors: Annotated[
        bool, typer.Option("--neighbors", help="List the nearest entities of the same side instead.")
    ] = False,
    exclude_seen: Annotated[
        str | None, typer.Option(metavar="PAIRS", help="Files of pairs, as data.path has them. No list repeats them.")
    ] = None,
    columns: ColumnsOption = "left_id,right_id",
    k: Annotated[int, typer.Option("-k", min=1, help="The length of each list.")] = 10,
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the best entities for every entity, or for those of a file. The file appears when it is whole."""
    if side not in ("left", "right"):
        raise typer.BadParameter(f"must be left or right (got {side!r})", param_hint="--side")
    if neighbors and exclude_seen is not None:
        raise ConfigError("--exclude-seen: has no effect with --neighbors, because pairs have both sides. Omit one")
    from pipeline.commands.batch import output as files
    from pipeline.commands.batch import reading

    files.check(output)
    layout = _columns(columns)
    queried = side if neighbors else OTHER[side]
    queries = None if for_ == "all" else reading.distinct_ids("--for", for_, layout, queried)
    loaded = _load(model)
    from components.batch_lists.ranking import rank
    from components.batch_lists.seen import SeenPairs

    def seen(known: pa.Array, answers: pa.Array) -> SeenPairs:
        assert exclude_seen is not None
        found = reading.pairs("--exclude-seen", exclude_seen, layout, skip_broken=True)
        return SeenPairs.of_ids((pair if queried == "left" else pair[::-1] for pair in found), known, answers)

    ranking = rank(loaded, side, k, queries, seen if exclude_seen is not None else None, neighbors)
    if not ranking.count:
        raise InputError(f"--for {for_}: the model knows none of its {queried} ids. Check --columns and --side")
    with files.written(output, ranking.schema) as write:
        seconds = _written(ranking.blocks(0, ranking.count), write, "lists", ranking.count, quiet)
    unknown = 0 if queries is None else len(queries) - ranking.count
    left_out = f". {_counted(unknown, 'id is', 'ids are')} not in the model, and without a list" if unknown else ""
    facts = {"output": str(output), "lists": ranking.count, "unknown": unknown, "seconds": round(seconds, 3)}
    _report(facts, _counted(ranking.count, "list", "lists"), ranking.count, left_out, json_, quiet)


def score_file(model: str, source: str, output: str, columns: str, as_json: bool, quiet: bool) -> None:
    """Scores every pair of a file, in its order.

    Raises:
      ConfigError, StoreError, StoreUnavailable: the output cannot be written.
      InputError: the input is unreadable or empty, or lacks a column.
    """
    import pyarrow as pa

    from pipeline.commands.batch import output as files
    from pipeline.commands.batch import reading, scores

    files.check(output)
    layout = _columns(columns)
    count = 0
    is_text = True
    for left, right in reading.pairs("--input", source, layout):
        count += len(left)
        try:
            left.cast(pa.string()), right.cast(pa.string())
        except pa.ArrowInvalid:
            is_text = False
    loaded = _load(model)
    unknown = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal unknown
        for table in scores.score(loaded, reading.pairs("--input", source, layout)):
            known = [table.column(name).to_numpy() for name in ("left_known", "right_known")]
            unknown += int((~(known[0] & known[1])).sum())
            yield scores.as_text(table) if is_text else table

    with files.written(output, scores.schema_of(is_text)) as write:
        seconds = _written(((len(table), table) for table in tables()), write, "pairs", count, quiet)
    flagged = f". {_counted(unknown, 'pair has', 'pairs have')} an unknown id" if unknown else ""
    facts = {"output": str(output), "pairs": count, "unknown": unknown, "seconds": round(seconds, 3)}
    _report(facts, _counted(count, "pair", "pairs"), count, flagged, as_json, quiet)


def _columns(text: str) -> ColumnSettings:
    from pipeline.commands.seen import columns_of

    return columns_of(text)


def _load(model: str) -> LocalModel:
    from serving.store import find_model

    found = find_model(model)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Imports TensorFlow, which takes seconds, so the paths are checked first.
    from serving.local_model import LocalModel

    return LocalModel(found)


def _counted(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _report(facts: dict[str, Any], done: str, count: int, more: str, as_json: bool, quiet: bool) -> None:
    """Prints what was written: as JSON to stdout, or as a sentence to stderr."""
    if as_json:
        say_json(facts)
    elif not quiet:
        seconds = facts["seconds"]
        rate = f"{count / max(seconds, 1e-3):,.0f}/s"
        say(f"{facts['output']}: {done} in {seconds:.1f} s ({rate}){more}", err=True)


def _written(
    tables: Iterable[tuple[int, pa.Table]], write: Callable[[pa.Table], None], unit: str, total: int, quiet: bool
) -> float:
    """Writes tables with a count each, and shows the progress on a terminal. Returns the seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    since = time.monotonic()
    console = Console(stderr=True)
    text = TextColumn("{task.description}", table_column=Column(overflow="fold"))
    with (
        Progress(BarColumn(20), text, console=console, transient=True, disable=quiet or not console.is_terminal) as bar,
        progress.counted(unit, total),
    ):
        task = bar.add_task("", total=total)
        with progress.watched(lambda line: bar.update(task, description=line)):
            for count, table in tables:
                write(table)
                bar.advance(task, count)
                progress.advance(unit, count)
    return max(time.monotonic() - since, 1e-9)
