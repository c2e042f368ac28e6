"""Refuses unusable data after it was read. The messages name files, rows and keys."""

from __future__ import annotations

from components.pair_example_gen import quarantine
from components.pair_example_gen.reports import Report, Totals
from components.pair_example_gen.settings import IngestSettings
from errors import DataRefused, InputError
from trainer.data.examples import EVAL, SPLITS

_SHOWN_PAIRS = 3


def check_files(heads: list[Report], reports: list[Report], settings: IngestSettings) -> None:
    """Refuses unreadable or incompatible files.

    Raises:
      InputError: names the files and the reasons.
    """
    faults = list(dict.fromkeys(report.fault for report in (*heads, *reports) if report.fault))
    if faults:
        raise InputError("\n".join(faults))
    described = [head for head in heads if head.columns is not None]
    for head in described[1:]:
        first = described[0]
        if sorted(head.columns or ()) != sorted(first.columns or ()):
            raise InputError(
                f"data.path: {head.file} has {_columns(head, settings)}, and {first.file} has "
                f"{_columns(first, settings)}. All files of one run need the same columns"
            )
    with_numbers = next((report.numbers_as_time for report in reports if report.numbers_as_time), None)
    with_dates = next((report.dates_as_time for report in reports if report.dates_as_time), None)
    if with_numbers and with_dates:
        raise InputError(
            f"data.columns.time: {with_numbers} has numbers and {with_dates} has dates. Use one of them in all files"
        )


def _columns(head: Report, settings: IngestSettings) -> str:
    names = head.columns or []
    return f"columns {', '.join(map(repr, names))}" if settings.columns.has_header else f"{len(names)} columns"


def check_splits(totals: Totals, settings: IngestSettings) -> None:
    """Refuses a split that has no row because of its weights, or because of the given folds.

    Raises:
      DataRefused: names the column.
    """
    for split in SPLITS:
        if totals.rows[split]:
            continue
        if totals.weightless[split]:
            raise DataRefused(no_weight(settings, "All", totals.weightless[split], f"rows of the {split} split"))
        if settings.split.by == "column":
            folds = ", ".join(map(str, settings.split.eval_folds))
            which = "is one of" if split == EVAL else "is anything but"
            raise DataRefused(
                f"data.split.eval_folds: the {split} split has no rows: in no row, column "
                f"{settings.columns.fold!r} {which} {folds}"
            )


def no_weight(settings: IngestSettings, how_many: str, count: int, what: str) -> str:
    """Returns the message for rows that all have weight 0."""
    return (
        f"data.columns.weight: {how_many} {count:,} {what} have weight 0 in column {settings.columns.weight!r}. Rows "
        "of weight 0 are left out, so nothing is left. Give some of them a weight above 0, or omit data.columns.weight"
    )


def check_repeated(judged: list[Report], unordered: bool) -> None:
    """Refuses repeated pairs.

    Raises:
      DataRefused: shows the first of them.
    """
    repeated = sum(report.repeated_pairs for report in judged)
    if repeated:
        shown = [line for report in judged for line in report.repeated][: 2 * _SHOWN_PAIRS]
        mirrored = " (with encode.shared, (a, b) and (b, a) are one pair)" if unordered else ""
        lines = [
            f"data.duplicates: refuse: {repeated:,} pairs have more than one row{mirrored}:",
            *(f"  {row}" for row in shown),
        ]
        raise DataRefused("\n".join([*lines, "Fix the rows, or set data.duplicates to keep, last or mean."]))


def too_many_bad_rows(totals: Totals, settings: IngestSettings, kept: str) -> str:
    """Returns the message for too many bad rows, which are in the folder `kept`."""
    bad, total = totals.bad, totals.good + totals.bad
    bound = f"at most {settings.max_quarantined_fraction:.2%} may be" if totals.good else "no row is left for training"
    lines = [
        f"data.max_quarantined_fraction: {bad:,} of {total:,} rows are bad ({bad / total:.2%}), and {bound}:",
        *quarantine.describe(kept, totals.reasons),
        f"All of them are in {kept} (Parquet). Fix the rows, or raise data.max_quarantined_fraction.",
    ]
    if any(reason.endswith("is not UTF-8") for reason in totals.reasons):
        lines.append("If the files are in another encoding, set data.encoding, for example to cp1252.")
    return "\n".join(lines)
