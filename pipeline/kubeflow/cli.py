"""The commands `compile` and `submit`. Each command imports heavy libraries when it needs them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from errors import ConfigError
from kindred.terminal import say
from pipeline.kubeflow.options import Access, Data, RunOptions, expand_options
from pipeline.kubeflow.requested import compile_file, connect, package_of
from pipeline.options import BeamOption, ConfigOption, JsonOption, QuietOption, SetOption, say_json

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient


def compile_(
    config: ConfigOption,
    output: Annotated[Path, typer.Option(help="The package to write, a .yaml file.")],
    data: Data = None,
    set_: SetOption = None,
    beam: BeamOption = None,
    json_: JsonOption = False,
) -> None:
    """Compile a pipeline into a package for Kubeflow Pipelines."""
    from pipeline.kubeflow.package import read_package

    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output: must end in .yaml (got {str(output)!r})")
    text = compile_file(config, data, set_ or (), beam)
    _write_whole(output, text)
    if json_:
        say_json({"package": str(output), **read_package(text, str(output)).to_json()})
    else:
        say(f"{output}: compiled for kubeflow", err=True)


@expand_options
def submit(
    run: RunOptions,
    access: Access,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start the run and do not follow it.")] = False,
    follow: Annotated[
        str | None, typer.Option(metavar="RUN", help="Follow a run that is already started. Start none.")
    ] = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a pipeline on Kubeflow: upload it, start a run, follow it. The last line is the run's id."""
    from pipeline.kubeflow import submission

    if follow is not None:
        if no_wait or any(vars(run).values()):
            raise ConfigError("--follow: starts no run; use it only with options about the server")
        cluster = connect(access)
        _Submitted(cluster, follow, {}, json_, quiet).wait(submission.task_names_of(cluster, follow))
    compiled, account, values = package_of(run)
    cluster = connect(access)
    version = submission.upload(cluster, compiled)
    if not quiet:
        say(f"{compiled.version}: {'uploaded' if version.is_new else 'already uploaded'}", err=True)
    run_id = submission.start(cluster, compiled, version, run.experiment or compiled.name, values, account)
    facts = {"pipeline": compiled.name, "version": compiled.version, "uploaded": version.is_new}
    _Submitted(cluster, run_id, facts, json_, quiet).wait(None if no_wait else compiled.tasks)


class _Submitted:
    """A run on a cluster, and how it is shown.

    Args:
      cluster: the server.
      run_id: the id of the run.
      facts: of the submission, for JSON.
      as_json: whether to print JSON.
      quiet: whether to print only what went wrong.
    """

    def __init__(
        self, cluster: KubeflowClient, run_id: str, facts: Mapping[str, Any], as_json: bool, quiet: bool
    ) -> None:
        self._cluster, self._run_id = cluster, run_id
        self._facts, self._as_json, self._quiet = facts, as_json, quiet

    def wait(self, names: Mapping[str, str] | None) -> NoReturn:
        """Follows the run, unless `names` is None, and exits. Prints the id of the run as the last line on stdout.

        Args:
          names: the display name of each task. None: do not follow the run.
        """
        from rich.console import Console

        from pipeline.kubeflow import following
        from pipeline.running.console import RunConsole

        url, state = self._cluster.run_url(self._run_id), None
        try:
            if not self._quiet:
                say(": ".join(filter(None, [f"run {self._run_id}", url])), err=True)
            if names is not None:
                console = RunConsole(Console(stderr=True), self._quiet)
                state = following.follow(self._cluster, self._run_id, names, console)
        except KeyboardInterrupt:
            again = self._cluster.command("submit", "--follow", self._run_id)
            say(f"stopped following; run {self._run_id} continues; `{again}` follows it again", err=True)
            raise typer.Exit(1) from None
        finally:
            if self._as_json:
                say_json({"run_id": self._run_id, "url": url, **self._facts, "state": state})
            else:
                say(self._run_id)
        raise typer.Exit(0 if names is None or state == "SUCCEEDED" else 1)


def _write_whole(path: Path, text: str) -> None:
    """Writes `text` to a staged file next to `path` and renames it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        raise ConfigError(f"--output {path}: cannot be written ({error.strerror}); give another file") from None
    finally:
        staged.unlink(missing_ok=True)
