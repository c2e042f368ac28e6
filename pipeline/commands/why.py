"""Explains the blessing of a run: rules, figures, the worst slice and the worst pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet

from components.evaluator.evaluation import EVALUATION_FILE, WORST_FILE, Evaluation, read_evaluation
from components.evaluator.figures import Figure, to_tree
from components.evaluator.names import ERRORS
from errors import ReportError
from pipeline.commands.table import lay_out, terminal_width
from pipeline.records.progress import headline, is_alive
from pipeline.records.run_folder import RunFolder

_SHOWN_PAIRS = 10


def explain(folder: RunFolder) -> Iterator[str]:
    """Returns lines about the run in `folder`.

    Raises:
      ReportError: the run has no output of the Evaluator.
    """
    yield headline(folder)
    summary = folder.read_summary()
    evaluation = summary.get("evaluation") and folder.root.path / summary["evaluation"]
    if summary.get("error") and (not evaluation or summary.get("blessed")):
        yield str(summary["error"])
    if not evaluation:
        yield from _before_evaluation(folder, summary)
        return
    folder.root.ensure(evaluation)
    if not Path(evaluation, EVALUATION_FILE).is_file():
        raise ReportError(f"{folder.path}: the evaluation of the run was removed ({evaluation})")
    verdict = read_evaluation(str(evaluation))
    yield from _rules(verdict)
    yield from _figures(verdict)
    yield from _worst_slice(verdict)
    if Path(evaluation, WORST_FILE).is_file():
        yield from _worst_pairs(Path(evaluation, WORST_FILE))
    yield f"\nFull evaluation: {evaluation}"


def facts(folder: RunFolder) -> dict[str, Any]:
    """Returns what `explain` is made of, as JSON: state, error, rules, checks and figures, if there are any."""
    summary = folder.read_summary()
    found = {
        "run_id": folder.path.name,
        "status": summary["status"],
        "error": summary.get("error"),
        "published": summary.get("published"),
        "rules": summary.get("blessing", []),
        "checks": summary.get("data", {}).get("checks", []),
    }
    evaluation = summary.get("evaluation") and folder.root.path / summary["evaluation"]
    if evaluation and Path(evaluation, EVALUATION_FILE).is_file():
        found["figures"] = to_tree(read_evaluation(str(evaluation)).figures)
    return found


def _before_evaluation(folder: RunFolder, summary: dict[str, Any]) -> Iterator[str]:
    """Explains a run that ended before its evaluation: the checks of the gate, if it got so far.

    Raises:
      ReportError: the run has not reached the evaluation, and no rule refused anything.
    """
    if checks := summary.get("data", {}).get("checks"):
        yield "\nChecks of the data"
        yield from _columns([["rule", "verdict", "value", "bound"], *(_check(check) for check in checks)])
    if summary["status"] in ("data_refused", "model_refused"):
        return
    if is_alive(folder):
        raise ReportError(f"{folder.path}: the run has not reached the evaluation. Try again later")
    raise ReportError(f"{folder.path}: the run did not reach the evaluation. {folder.log} has all output")


def _check(check: dict[str, Any]) -> list[str]:
    rule = f"{check['rule']} ({check['about']})" if "about" in check else check["rule"]
    return [rule, "holds" if check["ok"] else "broken", f"{check['value']:.6g}", f"{check['bound']:.6g}"]


def _rules(verdict: Evaluation) -> Iterator[str]:
    yield f"\nRules{' (the default set)' if verdict.facts.get('default_rules') else ''}"
    for rule in verdict.rules:
        yield f"  {rule}"


def _figures(verdict: Evaluation) -> Iterator[str]:
    overall = [figure for figure in verdict.figures if not figure.slice]
    others = list(dict.fromkeys(other for figure in overall for other in figure.others))
    rows = [["metric", "value", "95 % interval", *others]]
    for figure in overall:
        compared = [_number(figure.others[other].value) if other in figure.others else "" for other in others]
        rows.append([figure.metric, _number(figure.value), _interval(figure), *compared])
    yield "\nFigures on the eval split"
    yield from _columns(rows)


def _worst_slice(verdict: Evaluation) -> Iterator[str]:
    """Returns the worst slice by the metric of the first failed rule, or of the first rule if all hold."""
    deciding = next((rule for rule in verdict.rules if not rule.ok), verdict.rules[0]).rule.split()[0]
    figures = [figure for figure in verdict.figures if figure.metric == deciding and figure.slice]
    valued = [figure for figure in figures if figure.value is not None and figure.count]
    if valued:
        worst = max(valued, key=lambda figure: _badness(figure))
        yield f"\nWorst slice by {deciding}: {worst.slice}, {_number(worst.value)} on {worst.count:,}"


def _badness(figure: Figure) -> float:
    value = figure.value or 0.0
    return value if figure.metric in ERRORS else -value


def _worst_pairs(file: Path) -> Iterator[str]:
    """Returns the pairs with the largest errors, or the held-out positives with the lowest scores."""
    pairs: list[dict[str, Any]] = pyarrow.parquet.read_table(file).slice(0, _SHOWN_PAIRS).to_pylist()
    scored = "error" in pairs[0] if pairs else True
    formats = {"label": ".4g", "value": ".4g", "error": "+.4g"} if scored else {"score": "+.4g", "rank": ",d"}
    rows = [["left", "right", *formats]]
    for pair in pairs:
        ids = [pair[name].decode(errors="replace") for name in ("left_id", "right_id")]
        rows.append([*ids, *(format(pair[name], how) for name, how in formats.items())])
    yield "\nPairs with the largest errors" if scored else "\nHeld-out pairs with the lowest scores"
    yield from _columns(rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(figure: Figure) -> str:
    return "" if figure.low is None else f"[{_number(figure.low)}, {_number(figure.high)}]"


def _columns(rows: list[list[str]]) -> Iterable[str]:
    margin = "  "
    return [margin + line for line in lay_out(rows[0], rows[1:], terminal_width() - len(margin))]
