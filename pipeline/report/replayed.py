"""The replay of logged requests against the candidate and the served version."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.report import words
from pipeline.report.sources import Absent, Run


@dataclasses.dataclass(frozen=True)
class Replayed:
    """Sentences, figures by name, and the results of the rules."""

    sentences: Sequence[str]
    rows: Sequence[tuple[str, str]]
    checks: Sequence[dict[str, Any]]


def replayed(run: Run) -> Replayed:
    """Returns the figures of the replay."""
    found: dict[str, Any] | None = run.summary.get("replay")
    if not found:
        raise Absent("The run ended before the replay.")
    return Replayed(list(_sentences(found)), list(_rows(found)), found.get("rules", []))


def _sentences(found: dict[str, Any]) -> Iterator[str]:
    if "nothing" in found:
        yield f"Nothing was replayed: {found['nothing']}."
    else:
        yield (
            f"{words.count(found['compared'])} of {words.count(found['replayed'])} replayed requests were answered by "
            f"both the candidate and version {found['served']}."
        )
    if found.get("failed"):
        yield f"The candidate did not answer {words.count(found['failed'])} of them. The first: {found['fault']}."
    left_out = {
        "damaged files": found["damaged_files"],
        "records that are no Predict request": found["foreign_records"],
        f"requests of models other than {found['model']}": found["of_other_models"],
    }
    named = [f"{words.count(count)} {what}" for what, count in left_out.items() if count]
    yield f"The log {found['log']} has {words.count(found['records'])} records in {words.count(found['files'])} files."
    if named:
        yield f"Left out: {', '.join(named)}."


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if scores := found.get("scores"):
        yield "scored pairs", words.count(scores["pairs"])
        yield "mean change of a score", words.figure(scores["mean_change"])
        yield "largest change of a score", words.figure(scores["max_change"])
        yield "scores with another sign", words.share(scores["sign_changes"])
    if rankings := found.get("rankings"):
        yield "rankings", words.count(rankings["lists"])
        yield "ids that both rankings have", words.share(rankings["overlap"])
        yield "rankings with another first id", words.share(rankings["first_changed"])
    if ids := found.get("ids"):
        yield "requested ids", words.count(ids["requested"])
        yield "unknown to the candidate", words.share(ids["unknown"])
        yield "unknown to the served version", words.share(ids["unknown_served"])
        yield "unknown to the candidate only", words.share(ids["lost"])
    if latency := found.get("latency"):
        yield "time, candidate divided by served", f"{latency['ratio']:.2f}"
        yield "median time, candidate", f"{latency['p50_ms']:.3f} ms"
        yield "median time, served", f"{latency['p50_served_ms']:.3f} ms"
        yield "99th percentile, candidate", f"{latency['p99_ms']:.3f} ms"
        yield "99th percentile, served", f"{latency['p99_served_ms']:.3f} ms"
