"""The identity of a run: the id that Kubeflow assigned, and the digest of the submission."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from errors import RunIdError

# Kubeflow's API server creates the id of a run with uuid.NewRandom (backend/src/common/util/uuid.go, 2.16.1).
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def checked_run_id(text: str) -> str:
    """Returns `text` if it is the id of one run.

    Runs with the same id share a folder and the executions in ML Metadata. The second run would do nothing and succeed.

    Raises:
      RunIdError: `text` is empty, a placeholder that Kubeflow did not fill in, or not a UUID.
    """
    if _RUN_ID.fullmatch(text):
        return text
    if "{{" in text:
        reason = "Kubeflow did not fill in this placeholder; compile the package again with this version of kindred"
    else:
        reason = "must be the UUID that Kubeflow assigns to each run; start the run with `kindred submit`"
    raise RunIdError(f"run id {text!r}: {reason}")


def submission_digest(facts: dict[str, Any]) -> str:
    """Returns a digest that is equal for all tasks and attempts of one submission. `facts` is its request, as JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
