"""The commands about Kubeflow: compile, submit, schedule. Heavy libraries are imported by what needs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from errors import ConfigError
from kindred.invocation import command

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.package import Package

Config = Annotated[Path | None, typer.Option("--config", help="The pipeline file; compiled first.")]
PackageFile = Annotated[Path | None, typer.Option("--package", help="A compiled package, instead of --config.")]
Data = Annotated[str | None, typer.Option(help="Replaces data.path; as tasks see it.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="section.key=value; may be repeated.")]
Host = Annotated[
    str | None, typer.Option(envvar="KINDRED_KFP_HOST", help="URL of Kubeflow Pipelines; default: by kubeconfig.")
]
Namespace = Annotated[
    str | None, typer.Option(envvar="KINDRED_KFP_NAMESPACE", help="The profile, on a server of many users.")
]
Token = Annotated[
    str | None, typer.Option(envvar="KINDRED_KFP_TOKEN", help="Bearer token, if the server asks for one.")
]
Kubeconfig = Annotated[Path | None, typer.Option(help="Whose current context to use without --host.")]
Certificate = Annotated[
    Path | None, typer.Option("--ca-certificate", envvar="KINDRED_KFP_CA", help="PEM file to verify the server with.")
]
ServiceAccount = Annotated[str | None, typer.Option(help="Default: kubeflow.service_account.")]
Experiment = Annotated[str | None, typer.Option(help="Default: the pipeline's name.")]

schedules = typer.Typer(no_args_is_help=True, help="Recurring runs on Kubeflow Pipelines.")


def compile_(
    config: Annotated[Path, typer.Option(help="The pipeline file.")],
    output: Annotated[Path, typer.Option(help="Where the package goes; a .yaml file.")],
    data: Data = None,
    set_: Set = None,
    beam: Annotated[str | None, typer.Option(metavar="PROFILE", help="Replaces beam.profile.")] = None,
) -> None:
    """Compile a pipeline into a package for Kubeflow Pipelines."""
    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output: must end in .yaml (got {str(output)!r})")
    _write_whole(output, _compile(config, data, set_ or (), beam))
    _say(f"{output}: compiled for kubeflow")


def submit(
    config: Config = None,
    package: PackageFile = None,
    host: Host = None,
    namespace: Namespace = None,
    token: Token = None,
    kubeconfig: Kubeconfig = None,
    ca_certificate: Certificate = None,
    experiment: Experiment = None,
    data: Data = None,
    set_: Set = None,
    service_account: ServiceAccount = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start the run and leave it.")] = False,
    follow: Annotated[
        str | None, typer.Option(metavar="RUN", help="Follow a run that was started before; start none.")
    ] = None,
) -> None:
    """Run a pipeline on Kubeflow: upload it once, start a run, follow it; the last line is the run's id."""
    from pipeline.kubeflow import submission

    if follow is not None:
        if no_wait or any((config, package, experiment, data, set_, service_account)):
            raise ConfigError("--follow: starts nothing, so give only the run and options about the server with it")
        cluster = _connect(host, namespace, token, kubeconfig, ca_certificate)
        _wait_for(cluster, follow, submission.task_names_of(cluster, follow))
    compiled, account, values = _package(config, package, data, set_ or [])
    cluster = _connect(host, namespace, token, kubeconfig, ca_certificate)
    version = submission.upload(cluster, compiled)
    _say(f"{compiled.version}: {'uploaded' if version.is_new else 'there already'}")
    run_id = submission.start(
        cluster, compiled, version, experiment or compiled.name, values, service_account or account
    )
    _wait_for(cluster, run_id, None if no_wait else compiled.tasks)


@schedules.command("create")
def create(
    name: str,
    cron: Annotated[str, typer.Option(help='"MINUTE HOUR DAY MONTH WEEKDAY"; six fields begin with seconds.')],
    config: Config = None,
    package: PackageFile = None,
    host: Host = None,
    namespace: Namespace = None,
    token: Token = None,
    kubeconfig: Kubeconfig = None,
    ca_certificate: Certificate = None,
    experiment: Experiment = None,
    data: Data = None,
    set_: Set = None,
    service_account: ServiceAccount = None,
    max_concurrency: Annotated[int, typer.Option(min=1, max=10, help="Runs at the same time.")] = 1,
) -> None:
    """Run a pipeline again and again, by cron; what was missed is not caught up on."""
    from pipeline.kubeflow import schedule, submission

    schedule.six_fields(cron)
    compiled, account, values = _package(config, package, data, set_ or [])
    cluster = _connect(host, namespace, token, kubeconfig, ca_certificate)
    version = submission.upload(cluster, compiled)
    is_new = schedule.create(
        cluster, name, compiled, version, cron, experiment or compiled.name, values, max_concurrency,
        service_account or account,
    )  # fmt: skip
    _say(f"schedule {name}: {'created' if is_new else 'there already'}")


@schedules.command("list")
def list_(
    host: Host = None,
    namespace: Namespace = None,
    token: Token = None,
    kubeconfig: Kubeconfig = None,
    ca_certificate: Certificate = None,
) -> None:
    """Name, state, cron and id of every schedule."""
    from pipeline.kubeflow import schedule

    for row in schedule.rows(_connect(host, namespace, token, kubeconfig, ca_certificate)):
        typer.echo("\t".join(row))


def _changing(verb: str, done: str, help_: str) -> None:
    def change(
        name: str,
        host: Host = None,
        namespace: Namespace = None,
        token: Token = None,
        kubeconfig: Kubeconfig = None,
        ca_certificate: Certificate = None,
    ) -> None:
        from pipeline.kubeflow import schedule

        getattr(schedule, verb)(_connect(host, namespace, token, kubeconfig, ca_certificate), name)
        _say(f"schedule {name}: {done}")

    schedules.command(verb, help=help_)(change)


_changing("pause", "paused", "Start no more runs until it is resumed.")
_changing("resume", "resumed", "Start runs again.")
_changing("delete", "deleted", "Remove a schedule; runs that it started stay.")


def _compile(config: Path, data: str | None, overrides: Sequence[str], beam: str | None) -> str:
    from pipeline.config import load_config
    from pipeline.running.console import redirect_output

    pipeline_config = load_config(config, overrides, data, beam)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # What these import (TFX, the kfp SDK) costs seconds that a wrong option does not, and prints pages.
    with redirect_output(Path(os.devnull)):
        from pipeline.kubeflow.compiler import compile_package

        return compile_package(pipeline_config)


def _package(
    config: Path | None, package: Path | None, data: str | None, settings: list[str]
) -> tuple[Package, str | None, dict[str, Any]]:
    """The package, the service account of its pipeline file, and the parameters of the run.

    With a pipeline file, what `--set` changes is a parameter of the run where it can be, so that one package serves
    every value; what cannot be one is compiled into the package.
    """
    from pipeline.config import load_config
    from pipeline.kubeflow.package import read_package, run_values
    from pipeline.kubeflow.parameters import DATA_PATH, is_parameter

    if (config is None) == (package is None):
        raise ConfigError("give exactly one of --config and --package")
    if package is not None:
        compiled, account, left = read_package(_read(package), str(package)), None, settings
        return compiled, account, run_values(compiled, left) | ({DATA_PATH: data} if data else {})
    assert config is not None
    # The whole is checked before anything is sent, whatever is a parameter and whatever is not.
    account = load_config(config, settings, data).kubeflow.service_account
    plain = load_config(config, (), data)
    into_run = [setting for setting in settings if is_parameter(plain, setting.partition("=")[0])]
    into_package = [setting for setting in settings if setting not in into_run]
    compiled = read_package(_compile(config, data, into_package, None), str(config))
    return compiled, account, run_values(compiled, into_run)


def _connect(
    host: str | None, namespace: str | None, token: str | None, kubeconfig: Path | None, certificate: Path | None
) -> KubeflowClient:
    from pipeline.kubeflow.client import Access, KubeflowClient

    return KubeflowClient(Access(host, namespace, token, kubeconfig, certificate))


def _wait_for(cluster: KubeflowClient, run_id: str, names: Mapping[str, str] | None) -> NoReturn:
    """Follows a run, unless `names` of its tasks is None, and exits; the last line on stdout is its id."""
    from rich.console import Console

    from pipeline.kubeflow import following
    from pipeline.running.console import RunConsole

    succeeded = names is None
    try:
        _say(": ".join(filter(None, [f"run {run_id}", cluster.page(run_id)])))
        if names is not None:
            succeeded = following.follow(cluster, run_id, names, RunConsole(Console(stderr=True))) == "SUCCEEDED"
    except KeyboardInterrupt:
        _say(
            f"no longer following; run {run_id} goes on, and `{cluster.command('submit', '--follow', run_id)}` "
            "follows it again"
        )
    finally:
        typer.echo(run_id)
    raise typer.Exit(0 if succeeded else 1)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        compiling = command("compile", "--config", "FILE", "--output", path)
        raise ConfigError(f"--package {path}: cannot be read ({error}); make one with `{compiling}`") from None


def _write_whole(path: Path, text: str) -> None:
    """Writes `text` beside `path` and renames it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        raise ConfigError(f"--output {path}: cannot be written ({error.strerror}); give another file") from None
    finally:
        staged.unlink(missing_ok=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
