"""Fails a refused run and prints the reason: `python -m pipeline.kubeflow.refused`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from errors import KindredError
from kindred.terminal import log
from pipeline.kubeflow import arguments
from pipeline.kubeflow.run_identity import checked_run_id
from pipeline.kubeflow.stored_root import StoredRoot
from pipeline.records.run_folder import RunFolder

TERMINATION_LOG = Path("/dev/termination-log")
"""Kubernetes shows the first 4,096 bytes of this file as the message of the container."""


def main(words: Sequence[str] | None = None) -> int:
    """Prints why the run was stopped. Returns the exit code 1."""
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.refused", allow_abbrev=False)
    parser.add_argument("--run-id", required=True)
    arguments.add_root(parser)
    options = parser.parse_args(words)
    reason = _reason(options)
    log(reason)
    if TERMINATION_LOG.exists():
        TERMINATION_LOG.write_bytes(reason.encode()[:4096])
    return 1


def _reason(options: argparse.Namespace) -> str:
    try:
        run_id = checked_run_id(options.run_id)
        root = arguments.checked_root(options)
        folder = RunFolder(root.runs / run_id)
        if stored := StoredRoot.of(root):
            stored.fetch(folder.summary)
        error = folder.read_summary().get("error")
    except KindredError as refused:
        return f"error: {refused}"
    except (OSError, ValueError) as unreadable:
        return f"The record of the run cannot be read ({unreadable}); see the logs of the other tasks."
    return str(error or f"{folder.summary} gives no reason; see the logs of the other tasks.")


if __name__ == "__main__":
    sys.exit(main())
