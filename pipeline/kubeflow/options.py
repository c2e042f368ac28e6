"""The options of the commands about Kubeflow. Commands that share options declare them here once."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from pipeline.options import SetOption

Data = Annotated[str | None, typer.Option(help="Replaces data.path. Give the path as tasks see it.")]


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What to run: the package, its parameters, and the experiment that the run belongs to."""

    config: Annotated[Path | None, typer.Option("--config", help="The pipeline file. Compiled first.")] = None
    package: Annotated[Path | None, typer.Option("--package", help="A compiled package, instead of --config.")] = None
    experiment: Annotated[str | None, typer.Option(help="Default: the pipeline's name.")] = None
    data: Data = None
    set_: SetOption = None
    service_account: Annotated[str | None, typer.Option(help="Default: kubeflow.service_account.")] = None


@dataclasses.dataclass(frozen=True)
class Access:
    """The address of the API and the credentials for it.

    Attributes:
      host: the URL of Kubeflow Pipelines. None: reach it through the cluster of the kubeconfig's current context.
      namespace: the user's profile, on a server with several users.
      token: the bearer token.
      token_file: a file with the bearer token, read for each request.
      header: more headers of each request, as "NAME: VALUE".
      cookie: the cookies of each request, as "NAME=VALUE; NAME=VALUE".
      kubeconfig: the kubeconfig file. None: the default of `kubectl`.
      ca_file: the PEM file to verify the server with.
      cert: the PEM file of the client's certificate. It may contain the key too.
      key: the PEM file of the key of `cert`.
    """

    host: Annotated[
        str | None, typer.Option(envvar="KINDRED_KFP_HOST", help="URL of Kubeflow Pipelines. Default: by kubeconfig.")
    ] = None
    namespace: Annotated[
        str | None, typer.Option(envvar="KINDRED_KFP_NAMESPACE", help="Your profile, on a server with several users.")
    ] = None
    token: Annotated[
        str | None, typer.Option(envvar="KINDRED_KFP_TOKEN", help="Bearer token, if the server requires one.")
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(envvar="KINDRED_KFP_TOKEN_FILE", help="File with the bearer token, read for each request."),
    ] = None
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME:VALUE", help="A header of each request. Repeat it for more.")
    ] = None
    cookie: Annotated[
        str | None,
        typer.Option(metavar="NAME=VALUE", envvar="KINDRED_KFP_COOKIE", help="Cookie of a session in the browser."),
    ] = None
    kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig file to use without --host.")] = None
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file", "--ca-certificate", envvar="KINDRED_KFP_CA", help="PEM file to verify the server with."
        ),
    ] = None
    cert: Annotated[Path | None, typer.Option(help="PEM file of your own certificate, if the server asks.")] = None
    key: Annotated[Path | None, typer.Option(help="PEM file of the key of --cert, if --cert lacks it.")] = None

    def options(self) -> list[str]:
        """Returns command-line options that reach the same server. Omits token, headers and cookies: secrets."""
        given = {
            "--host": self.host,
            "--namespace": self.namespace,
            "--token-file": self.token_file,
            "--kubeconfig": self.kubeconfig,
            "--ca-file": self.ca_file,
            "--cert": self.cert,
            "--key": self.key,
        }
        return [word for option, value in given.items() if value is not None for word in (option, str(value))]


@dataclasses.dataclass(frozen=True)
class RemoteAccess(Access):
    """The same for a command that otherwise looks at a root here. Therefore no variable gives the host."""

    host: Annotated[
        str | None, typer.Option(metavar="URL", help="Kubeflow Pipelines, to look at its runs instead of a root here.")
    ] = None

    @property
    def is_given(self) -> bool:
        """Whether a server is meant, not a root."""
        return self.host is not None or self.kubeconfig is not None


def expand_options(function: Callable[..., None]) -> Callable[..., None]:
    """Returns `function` with a signature that Typer can read.

    The new signature replaces each parameter whose type is a dataclass by the fields of the dataclass.
    """
    types = get_type_hints(function, include_extras=True)
    expanded: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = types[name]
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            groups[name] = kind
            expanded += inspect.signature(kind, eval_str=True).parameters.values()
        else:
            expanded.append(parameter.replace(annotation=kind))

    @functools.wraps(function)
    def command(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})
        function(**values)

    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in expanded]
    command.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    return command
