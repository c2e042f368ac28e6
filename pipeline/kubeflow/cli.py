"""The commands about Kubeflow: compile, submit, schedule. Each command imports heavy libraries when it needs them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from errors import ConfigError
from kindred.invocation import command
from kindred.terminal import say
from pipeline.kubeflow.options import Access, Data, RunOptions, expand_options
from pipeline.options import BeamOption, ConfigOption, JsonOption, SetOption, say_json

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.package import Package

schedules = typer.Typer(no_args_is_help=True, help="Recurring runs on Kubeflow Pipelines.")


def compile_(
    config: ConfigOption,
    output: Annotated[Path, typer.Option(help="The package to write, a .yaml file.")],
    data: Data = None,
    set_: SetOption = None,
    beam: BeamOption = None,
) -> None:
    """Compile a pipeline into a package for Kubeflow Pipelines."""
    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output: must end in .yaml (got {str(output)!r})")
    _write_whole(output, _compile(config, data, set_ or (), beam))
    _report(f"{output}: compiled for kubeflow")


@expand_options
def submit(
    run: RunOptions,
    access: Access,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start the run and do not follow it.")] = False,
    follow: Annotated[
        str | None, typer.Option(metavar="RUN", help="Follow a run that is already started. Start none.")
    ] = None,
) -> None:
    """Run a pipeline on Kubeflow: upload it, start a run, follow it. The last line is the run's id."""
    from pipeline.kubeflow import submission

    if follow is not None:
        if no_wait or any(vars(run).values()):
            raise ConfigError("--follow: starts no run; use it only with options about the server")
        cluster = _connect(access)
        _wait_for(cluster, follow, submission.task_names_of(cluster, follow))
    compiled, account, values = _package(run)
    cluster = _connect(access)
    version = submission.upload(cluster, compiled)
    _report(f"{compiled.version}: {'uploaded' if version.is_new else 'already uploaded'}")
    run_id = submission.start(cluster, compiled, version, run.experiment or compiled.name, values, account)
    _wait_for(cluster, run_id, None if no_wait else compiled.tasks)


@schedules.command("create")
@expand_options
def create(
    name: str,
    cron: Annotated[str, typer.Option(help='"MINUTE HOUR DAY MONTH WEEKDAY", optionally with SECOND first.')],
    run: RunOptions,
    access: Access,
    max_concurrency: Annotated[int, typer.Option(min=1, max=10, help="Runs at the same time.")] = 1,
) -> None:
    """Run a pipeline on a cron schedule. Missed runs are skipped."""
    from pipeline.kubeflow import schedule, submission

    schedule.six_fields(cron)
    compiled, account, values = _package(run)
    cluster = _connect(access)
    version = submission.upload(cluster, compiled)
    is_new = schedule.create(
        cluster, name, compiled, version, cron, run.experiment or compiled.name, values, max_concurrency, account
    )
    _report(f"schedule {name}: {'created' if is_new else 'already exists'}")


@schedules.command("backfill")
@expand_options
def backfill(
    span: Annotated[str, typer.Option(metavar="A..B", help="The spans to run, such as 12..18. Dates work too.")],
    run: RunOptions,
    access: Access,
) -> None:
    """Run a pipeline for each span of a range, oldest first, one run at a time. The same command continues."""
    from rich.console import Console

    from pipeline.config import load_config
    from pipeline.config.span_range import SpanRange
    from pipeline.kubeflow import backfill, following, submission
    from pipeline.kubeflow.parameters import SPAN, at_span
    from pipeline.running.console import RunConsole

    spans = SpanRange.parse(span)
    if run.config is not None:
        at_span(load_config(run.config, run.set_ or (), run.data).to_json()["data"], str(spans.first))
    compiled, account, values = _package(run)
    if SPAN not in compiled.parameters:
        raise ConfigError(f"--span: the package has no parameter {SPAN}. Compile it with this version of Kindred")
    cluster = _connect(access)
    version = submission.upload(cluster, compiled)
    console = RunConsole(Console(stderr=True))
    experiment = run.experiment or compiled.name
    succeeded = backfill.backfill(
        backfill.PackageRuns(cluster, version, experiment),
        [{**values, SPAN: str(one)} for one in spans],
        lambda wanted: submission.start(cluster, compiled, version, experiment, wanted, account),
        lambda run_id: following.follow(cluster, run_id, compiled.tasks, console),
        _report,
    )
    raise typer.Exit(0 if succeeded else 1)


@schedules.command("list")
@expand_options
def list_(access: Access, json_: JsonOption = False) -> None:
    """Print the name, state, cron and id of every schedule."""
    from pipeline.kubeflow import schedule

    rows = schedule.rows(_connect(access))
    if json_:
        say_json([dict(zip(("name", "state", "cron", "id"), row, strict=True)) for row in rows])
        return
    for row in rows:
        say("\t".join(row))


def _add_change(verb: str, done: str, help_: str) -> None:
    """Adds the command `verb`, which calls the function of that name in `schedule`."""

    def change(name: str, access: Access) -> None:
        from pipeline.kubeflow import schedule

        getattr(schedule, verb)(_connect(access), name)
        _report(f"schedule {name}: {done}")

    schedules.command(verb, help=help_)(expand_options(change))


_add_change("pause", "paused", "Start no more runs until the schedule is resumed.")
_add_change("resume", "resumed", "Start runs again.")
_add_change("delete", "deleted", "Delete a schedule. Its runs stay.")


def _compile(config: Path, data: str | None, overrides: Sequence[str], beam: str | None) -> str:
    from pipeline.config import load_config
    from pipeline.running.console import redirect_output

    pipeline_config = load_config(config, overrides, data, beam)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TFX and the kfp SDK take seconds to import and print many lines.
    with redirect_output(Path(os.devnull)):
        from pipeline.kubeflow.compiler import compile_package

        return compile_package(pipeline_config)


def _package(run: RunOptions) -> tuple[Package, str | None, dict[str, Any]]:
    """Returns the package, the service account, and the parameters of the run.

    With a pipeline file, a key in `--set` becomes a run parameter if it can, so that one package serves every value.
    Other keys are compiled into the package.
    """
    from pipeline.config import load_config
    from pipeline.kubeflow.package import read_package, run_values
    from pipeline.kubeflow.parameters import DATA_PATH, is_parameter

    config, settings = run.config, run.set_ or []
    if (config is None) == (run.package is None):
        raise ConfigError("give exactly one of --config and --package")
    if run.package is not None:
        compiled = read_package(_read(run.package), str(run.package))
        values = run_values(compiled, settings) | ({DATA_PATH: run.data} if run.data else {})
        return compiled, run.service_account, values
    assert config is not None
    # Check all settings before anything is sent, whether they are parameters or not.
    account = run.service_account or load_config(config, settings, run.data).kubeflow.service_account
    plain = load_config(config, (), run.data)
    into_run = [setting for setting in settings if is_parameter(plain, setting.partition("=")[0])]
    into_package = [setting for setting in settings if setting not in into_run]
    compiled = read_package(_compile(config, run.data, into_package, None), str(config))
    return compiled, account, run_values(compiled, into_run)


def _connect(access: Access) -> KubeflowClient:
    from pipeline.kubeflow.client import KubeflowClient

    return KubeflowClient(access)


def _wait_for(cluster: KubeflowClient, run_id: str, names: Mapping[str, str] | None) -> NoReturn:
    """Follows a run, unless `names` is None, and exits. Prints the id of the run as the last line on stdout.

    Args:
      cluster: the server.
      run_id: the id of the run.
      names: the display name of each task. None: do not follow the run.
    """
    from rich.console import Console

    from pipeline.kubeflow import following
    from pipeline.running.console import RunConsole

    succeeded = names is None
    try:
        _report(": ".join(filter(None, [f"run {run_id}", cluster.run_url(run_id)])))
        if names is not None:
            succeeded = following.follow(cluster, run_id, names, RunConsole(Console(stderr=True))) == "SUCCEEDED"
    except KeyboardInterrupt:
        _report(
            f"stopped following; run {run_id} continues; "
            f"`{cluster.command('submit', '--follow', run_id)}` follows it again"
        )
    finally:
        say(run_id)
    raise typer.Exit(0 if succeeded else 1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        compiling = command("compile", "--config", "FILE", "--output", path)
        raise ConfigError(f"--package {path}: cannot be read ({error}); compile one with `{compiling}`") from None


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


def _report(text: str) -> None:
    say(text, err=True)
