"""The commands of `kindred schedule`. Each command imports heavy libraries when it needs them."""

from __future__ import annotations

from typing import Annotated

import typer

from errors import ConfigError
from kindred.terminal import say
from pipeline.kubeflow.options import Access, RunOptions, expand_options
from pipeline.kubeflow.requested import connect, package_of
from pipeline.options import JsonOption, QuietOption, say_json

schedules = typer.Typer(no_args_is_help=True, help="Recurring runs on Kubeflow Pipelines.")


@schedules.command("create")
@expand_options
def create(
    name: str,
    cron: Annotated[str, typer.Option(help='"MINUTE HOUR DAY MONTH WEEKDAY", optionally with SECOND first.')],
    run: RunOptions,
    access: Access,
    max_concurrency: Annotated[int, typer.Option(min=1, max=10, help="Runs at the same time.")] = 1,
    json_: JsonOption = False,
) -> None:
    """Run a pipeline on a cron schedule. Missed runs are skipped."""
    from pipeline.kubeflow import schedule, submission

    schedule.six_fields(cron)
    compiled, account, values = package_of(run)
    cluster = connect(access)
    version = submission.upload(cluster, compiled)
    is_new = schedule.create(
        cluster, name, compiled, version, cron, run.experiment or compiled.name, values, max_concurrency, account
    )
    _print_state(name, "created" if is_new else "already exists", json_)


@schedules.command("backfill")
@expand_options
def backfill(
    span: Annotated[str, typer.Option(metavar="A..B", help="The spans to run, such as 12..18. Dates work too.")],
    run: RunOptions,
    access: Access,
    json_: JsonOption = False,
    quiet: QuietOption = False,
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
    compiled, account, values = package_of(run)
    if SPAN not in compiled.parameters:
        raise ConfigError(f"--span: the package has no parameter {SPAN}. Compile it with this version of Kindred")
    cluster = connect(access)
    version = submission.upload(cluster, compiled)
    console = RunConsole(Console(stderr=True), quiet)
    experiment = run.experiment or compiled.name
    ended = backfill.backfill(
        backfill.PackageRuns(cluster, version, experiment),
        [{**values, SPAN: str(one)} for one in spans],
        lambda wanted: submission.start(cluster, compiled, version, experiment, wanted, account),
        lambda run_id: following.follow(cluster, run_id, compiled.tasks, console),
        lambda text, matters=False: None if quiet and not matters else say(text, err=True),
    )
    if json_:
        say_json([one.to_json() for one in ended])
    raise typer.Exit(0 if all(one.is_well for one in ended) else 1)


@schedules.command("list")
@expand_options
def list_(access: Access, json_: JsonOption = False) -> None:
    """Print the name, state, cron and id of every schedule."""
    from pipeline.kubeflow import schedule

    rows = schedule.rows(connect(access))
    if json_:
        say_json([dict(zip(("name", "state", "cron", "id"), row, strict=True)) for row in rows])
        return
    for row in rows:
        say("\t".join(row))


def _add_change(verb: str, done: str, help_: str) -> None:
    """Adds the command `verb`, which calls the function of that name in `schedule`."""

    def change(name: str, access: Access, json_: JsonOption = False) -> None:
        from pipeline.kubeflow import schedule

        getattr(schedule, verb)(connect(access), name)
        _print_state(name, done, json_)

    schedules.command(verb, help=help_)(expand_options(change))


_add_change("pause", "paused", "Start no more runs until the schedule is resumed.")
_add_change("resume", "resumed", "Start runs again.")
_add_change("delete", "deleted", "Delete a schedule. Its runs stay.")


def _print_state(name: str, state: str, as_json: bool) -> None:
    if as_json:
        say_json({"schedule": name, "state": state})
    else:
        say(f"schedule {name}: {state}", err=True)
