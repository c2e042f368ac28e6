"""The last lines that a run prints: its outcome, and the next command."""

from __future__ import annotations

from pathlib import Path

from components.evaluator.rules import RuleResult
from components.pair_example_gen.files import is_remote
from kindred.invocation import command, typed_path
from pipeline.records.root import Root
from pipeline.records.run_record import RunRecord
from pipeline.running.local import RunOutcome

_HEADLINES = {
    "published": "Published",
    "tuned": "Tuned",
    "awaiting_approval": "Awaiting approval",
    "data_refused": "Data refused",
    "model_refused": "Model refused",
    "failed": "Failed",
}


def describe(outcome: RunOutcome, root: Root) -> str:
    """Returns the lines. For a refusal, the last lines give the rule, the figures and the file to open."""
    record = outcome.record
    headline = f"\n{_HEADLINES[record.status]} after {record.seconds:.1f} s (exit code {outcome.exit_code})"
    lines = [headline, *_figures(record)]
    if record.status == "published":
        lines += _next_steps(outcome, root)
    elif record.awaiting is not None:
        lines += [
            f"  record    {typed_path(outcome.folder.summary)}",
            *(f"  report    {typed_path(path)}" for path in _reports(outcome)),
            "",
            "Next:",
            f"  {command('approve', record.awaiting, '--root', _typed(str(root)))}",
        ]
    elif outcome.exit_code != 0:
        lines += [
            record.error or "no reason was given",
            *(f"The report: {typed_path(path)}" for path in _reports(outcome)),
            f"Open {typed_path(outcome.folder.log)} for the output of all libraries.",
        ]
    else:
        lines += [f"  report    {typed_path(path)}" for path in _reports(outcome)]
    if outcome.not_stored is not None:
        lines += [
            "",
            f"The results are not stored in {root}: {outcome.not_stored}.",
            f"They are in the working copy {typed_path(root.path)}. The next run on this machine stores them.",
        ]
    return "\n".join(lines)


def _figures(record: RunRecord) -> list[str]:
    lines = []
    if record.data:
        kept = sum(record.data["splits"].values())
        lines.append(f"  rows      {record.data['rows']:,} in, {kept:,} kept")
        if warnings := record.data.get("warnings"):
            lines.append(f"  warnings  {len(warnings)} about the data, above and in the report")
    if record.metrics:
        figures = (f"{name} {value:.4f}" for name, value in record.metrics.items() if not name.startswith("baseline_"))
        lines.append(f"  eval      {', '.join(figures)}")
        baselines = {name: value for name, value in record.metrics.items() if name.startswith("baseline_")}
        shown = (f"{name.removeprefix('baseline_')} {value:.4f}" for name, value in baselines.items())
        lines.append(f"  baseline  {', '.join(shown)}")
    lines += [f"  rule      {RuleResult.of_summary(entry)}" for entry in record.blessing]
    return lines


def _reports(outcome: RunOutcome) -> list[Path]:
    """Returns the report, if it could be written."""
    return [path for path in [outcome.folder.report] if path.is_file()]


def _next_steps(outcome: RunOutcome, root: Root) -> list[str]:
    record = outcome.record
    published = str(record.published)
    files = [f"  record    {typed_path(outcome.folder.summary)}"]
    files += [f"  report    {typed_path(path)}" for path in _reports(outcome)]
    lists = [f"  lists     {_typed(root.place_of(record.lists['path']))}"] if record.lists else []
    place = root.place_of(published)
    if is_remote(place):
        return [f"  model     {place}", *lists, *files]
    serving = typed_path((root.path / published).parent)
    left, right = record.frequent_pair
    return [
        f"  model     {typed_path(root.path / published)}",
        *lists,
        *files,
        "",
        "Next:",
        f"  {command('score', '--model', serving, *_ids(left, right))}",
        f"  {command('similar', '--model', serving, *_ids(left))}",
    ]


def _typed(place: str) -> str:
    return place if is_remote(place) else typed_path(place)


def _ids(*ids: str) -> list[str]:
    """Returns ids as arguments. Adds `--` if an id begins with a dash, so that it is not read as an option."""
    return ["--", *ids] if any(id_.startswith("-") for id_ in ids) else [*ids]
