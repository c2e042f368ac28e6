"""The next step in an error message, for the place where the program runs: a command line, or a task on Kubeflow.

The user of a task cannot change its command line. They start another run with other parameters.
"""

from __future__ import annotations

from kindred.invocation import command, is_task, typed_path

DATA, ROOT, ACCEPT = "data_path", "pipeline_root", "accept_anomalies"
"""Names of run parameters on Kubeflow."""


def set_data() -> str:
    """Returns how to read other data than `data.path`, as a part of a sentence."""
    return f"set the run parameter {DATA}" if is_task() else "set --data PATH"


def set_root(root: str) -> str:
    """Returns how to use another root, as a sentence. `root` describes it, such as "another directory"."""
    return f"Set the run parameter {ROOT} to {root}" if is_task() else f"Set --root to {root}"


def accept_data() -> str:
    """Returns how to overrule the gate in one run, as a part of a sentence."""
    if is_task():
        again = command("submit", "--set", f"{ACCEPT}=REASON")
        return f"set the run parameter {ACCEPT} to the reason (`{again}` with the options of your submission)"
    return "add --accept-anomalies REASON to the command"


def see_evaluation(folder: str) -> list[str]:
    """Returns lines that lead to the figures of the run in `folder`."""
    if is_task():
        return ["For figures, slices and pairs, open the output `report` of the task RunReport"]
    return ["For figures, slices and pairs:", f"  {command('report', '--why', typed_path(folder))}"]


def restore_version(root: str, to: str) -> str:
    """Returns how to undo a rollback, as a part of a sentence.

    Args:
      root: the root of the pipeline.
      to: the destination of published models, relative to the root or a URL.
    """
    undo = command("rollback", "--undo", "--root", root, *(["--to", to] if to != "serving" else []))
    return f"`{undo}`, run where the volume is mounted" if is_task() else f"`{undo}`"
