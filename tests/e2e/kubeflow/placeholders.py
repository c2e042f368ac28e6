"""Substitutes placeholders like KFP's driver and launcher, and refuses them in all other places.

KFP leaves an unknown placeholder as text, and the task runs with it. A wrong package would pass a test that checks only
exit codes. Therefore such a text is an error here: NotSubstituted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from tests.e2e.kubeflow.errors import NotSubstituted, Unsupported

RUN_SCOPED = (
    "{{$.pipeline_job_name}}",
    "{{$.pipeline_job_resource_name}}",
    "{{$.pipeline_job_uuid}}",
    "{{$.pipeline_task_name}}",
    "{{$.pipeline_task_uuid}}",
)
"""The placeholders that driver/resolve.go (resolveInputParameter) replaces in 2.15.0 and 2.16.1.

2.16.1 also knows {{$.pipeline_job_create_time_utc}} and {{$.pipeline_job_schedule_time_utc}}, but cmd/driver/main.go
never sets their values, so they become empty. 2.15.0 leaves them as text.
"""
EXECUTOR_INPUT = "{{$}}"
"""The launcher replaces it by ExecutorInput in JSON (compileCmdAndArgs)."""
_OPENING = "{{"
_EXPANDED = re.compile(r"\$\$|\$\([A-Za-z_.-][A-Za-z0-9_.-]*\)")


def input_placeholder(name: str) -> str:
    return f"{{{{$.inputs.parameters['{name}']}}}}"


def output_file_placeholder(name: str) -> str:
    return f"{{{{$.outputs.parameters['{name}'].output_file}}}}"


def artifact_path_placeholder(name: str) -> str:
    return f"{{{{$.outputs.artifacts['{name}'].path}}}}"


def resolve_constant(text: str, run: Mapping[str, str], task: str, name: str) -> str:
    """Resolves the constant of a task's input parameter like the driver.

    driver/resolve.go (resolveInputParameter): the driver compares the WHOLE constant with each placeholder. It does
    not replace placeholders inside a longer text. The exception is {{$.workspace_path}}, which belongs to a volume
    that is not emulated.

    Args:
      run: the values of RUN_SCOPED in this task.

    Raises:
      NotSubstituted: another placeholder, or one inside a longer text.
    """
    if text in RUN_SCOPED:
        return run[text]
    if "{{$.workspace_path}}" in text:
        raise Unsupported(f"{task}: inputs.parameters.{name}", "{{$.workspace_path}}")
    refuse_placeholders(text, task, f"inputs.parameters.{name}", "the driver replaces only a whole, known constant")
    return text


def substitute(word: str, table: Mapping[str, str], task: str, place: str) -> str:
    """Replaces the placeholders in `table` anywhere in `word`, a word of args.

    component/launcher_v2.go (compileCmdAndArgs, getPlaceholders), the same in 2.15.0 and 2.16.1.

    Raises:
      NotSubstituted: a placeholder that is not in `table`.
    """
    parts = []
    begin = 0
    while (found := word.find(_OPENING, begin)) >= 0:
        known = next((placeholder for placeholder in table if word.startswith(placeholder, found)), None)
        if known is None:
            raise NotSubstituted(task, place, _placeholder_at(word, found), _why(word[found:]))
        parts += [word[begin:found], table[known]]
        begin = found + len(known)
    return "".join([*parts, word[begin:]])


def check_word(word: str, known: Collection[str], task: str, place: str) -> None:
    """Checks one word of args before any value is known.

    Raises:
      NotSubstituted: a placeholder that the launcher does not know.
    """
    if word.startswith(('{"Concat"', '{"IfPresent"')):
        # No file of backend/src/v2 knows structures, so the launcher passes them on as text.
        raise NotSubstituted(task, place, word, "the launcher knows no structures")
    substitute(word, dict.fromkeys([*known, EXECUTOR_INPUT], ""), task, place)


def refuse_placeholders(text: str, task: str, place: str, why: str) -> None:
    """Raises NotSubstituted if `text` has the opening of a placeholder of KFP or Argo."""
    found = text.find(_OPENING)
    if found >= 0:
        raise NotSubstituted(task, place, _placeholder_at(text, found), why)


def refuse_expansion(text: str, task: str, place: str) -> None:
    """Raises Unsupported if Kubernetes might change `text`.

    driver/driver.go (initPodSpecPatch) puts command and args into the pod's args, and the input parameters into its
    command (--executor_input). There, Kubernetes replaces `$$` by `$`, and $(NAME) if the container has such a
    variable.
    """
    if match := _EXPANDED.search(text):
        raise Unsupported(f"{task}: {place}", f"{match[0]}, which Kubernetes may expand")


def _placeholder_at(text: str, begin: int) -> str:
    end = text.find("}}", begin)
    return text[begin : end + 2] if end >= 0 else text[begin:]


def _why(text: str) -> str:
    if text.startswith(RUN_SCOPED):
        return "the driver replaces it only where it is the constant of a task's input parameter"
    if text.startswith("{{$"):
        return "the launcher has no value for it"
    return "Argo would read it as a template"
