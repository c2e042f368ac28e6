"""The task that fails a refused run, as `python -m pipeline.kubeflow.refused`: it prints the reason and fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from errors import KindredError
from pipeline.kubeflow.run_identity import checked_run_id
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes shows what a container writes there as its message, up to 4,096 bytes."""


def main(words: Sequence[str] | None = None) -> int:
    """Prints why the run was stopped; the exit code is never 0."""
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.refused", allow_abbrev=False)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--root", required=True)
    told = parser.parse_args(words)
    reason = _reason(told)
    print(reason, file=sys.stderr, flush=True)
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_bytes(reason.encode()[:4096])
    return 1


def _reason(told: argparse.Namespace) -> str:
    try:
        folder = RunFolder(Root(Path(told.root)).runs / checked_run_id(told.run_id))
        error = folder.read_summary().get("error")
    except KindredError as refused:
        return f"error: {refused}"
    except (OSError, ValueError) as unreadable:
        return f"The record of the run cannot be read ({unreadable}); the logs of the other tasks say why it stopped."
    return str(error or f"{folder.summary} gives no reason; the logs of the other tasks say why the run stopped.")


if __name__ == "__main__":
    sys.exit(main())
