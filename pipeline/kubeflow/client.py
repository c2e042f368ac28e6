"""Kubeflow's API (v2beta1) as a person means it: found and connected to, with errors in plain words."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kfp_server_api as api
import urllib3
from kfp_server_api.exceptions import ApiException, ApiTypeError, ApiValueError

from errors import ClusterRefused, ServiceUnavailable
from kindred.invocation import command

_MAJOR = 2
_PAGE = 100
_SECONDS = 30
# What a proxy answers while the API restarts. A request that changes nothing is sent again.
_AWAY = (502, 503, 504)
_RETRIES = urllib3.Retry(total=4, backoff_factor=0.5, status_forcelist=_AWAY, raise_on_status=False)
_PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:8888/proxy"
_HINTS = {
    401: "the token is missing, wrong or expired; give a new one with --token or KINDRED_KFP_TOKEN",
    403: "the token is not allowed to do this; check its role, and --namespace",
    404: "there is no such thing",
    409: "the name is taken",
}
_SECURITY_CONTEXT = re.compile(r'unknown field \\*"securityContext')
_NO_SECURITY_CONTEXT = (
    "Kubeflow Pipelines before 2.16 has no security contexts; give --set kubeflow.task.run_as_non_root=false with "
    "--config, or set it in the pipeline file, without run_as_user and run_as_group"
)


@dataclasses.dataclass(frozen=True)
class Access:
    """Where the API is and who asks. `kubeconfig`: reach it through the cluster of that file's current context."""

    host: str | None = None
    namespace: str | None = None
    token: str | None = None
    kubeconfig: Path | None = None
    ca_certificate: Path | None = None

    def options(self) -> list[str]:
        """The options of a command that reach the same server. A token is a secret, so it is not among them."""
        given = {
            "--host": self.host,
            "--namespace": self.namespace,
            "--kubeconfig": self.kubeconfig,
            "--ca-certificate": self.ca_certificate,
        }
        return [word for option, value in given.items() if value is not None for word in (option, str(value))]


class KubeflowClient:
    """A Kubeflow Pipelines server.

    Attributes:
      host: its address.
      namespace: the profile, on a server of many users.
      kubernetes: the address of the cluster's own API, if the server is reached through it.
    """

    def __init__(self, access: Access) -> None:
        """Connects, and checks that a Kubeflow Pipelines 2 server answers.

        Raises:
          ServiceUnavailable: nothing answers.
          ClusterRefused: what answers is no such server, or refuses the token.
        """
        configuration = _configuration(access)
        self.host = access.host or configuration.host
        self.namespace = access.namespace
        self._options = access.options()
        self.kubernetes = None if access.host else configuration.host.removesuffix(_PROXY)
        self._client = client = api.ApiClient(configuration)
        if access.token:
            client.set_default_header("Authorization", f"Bearer {access.token}")
        self.pipelines = api.PipelineServiceApi(client)
        self.uploads = api.PipelineUploadServiceApi(client)
        self.experiments = api.ExperimentServiceApi(client)
        self.runs = api.RunServiceApi(client)
        self.recurring_runs = api.RecurringRunServiceApi(client)
        self._health = api.HealthzServiceApi(client)
        self._check()

    def ask(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls the API; `what` says in errors what was asked.

        Raises:
          ServiceUnavailable: nothing answers, or a proxy before the API does.
          ClusterRefused: the API refuses; says why, and what to do.
        """
        try:
            return call(*arguments, _request_timeout=_SECONDS, **options)
        except urllib3.exceptions.HTTPError as error:
            raise ServiceUnavailable(
                f"{self.host}: cannot be reached to {what}: {_root_cause(error)}; check --host, and that the address "
                "is that of Kubeflow Pipelines"
            ) from None
        except ApiException as error:
            if error.status in _AWAY:
                raise ServiceUnavailable(self._words(what, error)) from error
            raise ClusterRefused(self._words(what, error)) from error
        except (ApiValueError, ApiTypeError, ValueError, TypeError, AttributeError) as error:
            raise ClusterRefused(
                f"{self.host}: its answer, when asked to {what}, is not one of Kubeflow Pipelines 2 ({error})"
            ) from error

    def find(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any | None:
        """As `ask`; None where the API says that there is no such thing."""
        try:
            return self.ask(what, call, *arguments, **options)
        except ClusterRefused as error:
            if status_of(error) == 404:
                return None
            raise

    def pages(self, what: str, call: Callable[..., Any], field: str, *arguments: Any, **options: Any) -> Iterator[Any]:
        """Every element of a list that the API gives page by page."""
        token = ""
        while True:
            page = self.ask(what, call, *arguments, page_size=_PAGE, page_token=token, **options)
            yield from getattr(page, field) or ()
            token = page.next_page_token or ""
            if not token:
                return

    def text(
        self,
        what: str,
        path: str,
        names: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        host: str | None = None,
    ) -> str:
        """The answer to a GET that the published schema lacks, whatever its kind.

        Args:
          what: what errors say was asked.
          path: the path below the host, with `{name}` for each of `names`.
          names: what to put into the path.
          query: the query.
          host: another host, with the same credentials.

        Raises:
          ServiceUnavailable, ClusterRefused: as `ask`.
        """
        return str(self.ask(what, self._get, path, dict(names), list((query or {}).items()), host))

    def page(self, run_id: str) -> str | None:
        """The address of a run in the user interface; None where only the API is reached."""
        return None if self.kubernetes else f"{self.host}/#/runs/details/{run_id}"

    def command(self, *words: object) -> str:
        """Returns a `kindred` command about this server, as a person can type it."""
        return command(*words, *self._options)

    def in_namespace(self) -> dict[str, str]:
        """The option that a server of many users wants; none for one of a single user."""
        return {"namespace": self.namespace} if self.namespace else {}

    def _get(
        self, path: str, names: dict[str, str], query: list[tuple[str, str]], host: str | None, _request_timeout: int
    ) -> str:
        # Not preloaded: the generated client decodes strictly, and a log may hold anything.
        answer = self._client.call_api(
            path, "GET", names, query, {}, auth_settings=["Bearer"], _preload_content=False,
            _return_http_data_only=True, _request_timeout=_request_timeout, _host=host,
        )  # fmt: skip
        return bytes(answer.data).decode("utf-8", "replace")

    def _check(self) -> None:
        try:
            health = self.ask("say how it is", self._health.healthz_service_get_healthz)
        except ClusterRefused as error:
            if status_of(error) == 404:
                raise ClusterRefused(
                    f"{self.host}: there is no API v2beta1 here: Kubeflow Pipelines 2 is needed; check --host "
                    "(the address of the user interface, or of the service ml-pipeline, port 8888)"
                ) from None
            raise
        # The model lacks the version, and is empty for whatever the client cannot read.
        said = _object(self._client.last_response.data)
        if said is None:
            raise ClusterRefused(f"{self.host}: what answers there is not Kubeflow Pipelines; check --host")
        version = re.match(r"v?(\d+)\.", str(said.get("tag_name", "")))
        if version and int(version[1]) != _MAJOR:
            raise ClusterRefused(
                f"{self.host}: is Kubeflow Pipelines {said['tag_name']}; packages of Kindred need version {_MAJOR}"
            )
        if health.multi_user and not self.namespace:
            raise ClusterRefused(f"{self.host}: a server of many users; say whose with --namespace, the profile's name")

    def _words(self, what: str, error: ApiException) -> str:
        reason = _reason(error)
        hint = _HINTS.get(error.status, "")
        if _SECURITY_CONTEXT.search(str(error.body)):
            hint = _NO_SECURITY_CONTEXT
        if error.status in (301, 302, 307) or reason.lstrip().startswith("<"):
            reason, hint = "the answer is a web page, not the API's", _HINTS[401] + "; or check --host"
        return f"{self.host}: refuses to {what} ({error.status}): {'; '.join(filter(None, [reason, hint]))}"


def status_of(error: ClusterRefused) -> int | None:
    """The HTTP status behind `error`, if there is one."""
    cause = error.__cause__
    return int(cause.status) if isinstance(cause, ApiException) and cause.status else None


def _configuration(access: Access) -> Any:
    configuration = api.Configuration()
    if access.host is None:
        _from_kubeconfig(configuration, access)
    else:
        if not access.host.startswith(("http://", "https://")):
            raise ClusterRefused(f"--host: must begin with http:// or https:// (got {access.host!r})")
        configuration.host = access.host.rstrip("/").removesuffix("/#")
    if access.ca_certificate is not None:
        configuration.ssl_ca_cert = str(access.ca_certificate)
    configuration.retries = _RETRIES
    # It warns about each retry, on the terminal. What comes of them is an answer or an error of `ask`.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return configuration


def _from_kubeconfig(configuration: Any, access: Access) -> None:
    """The API behind the cluster's own proxy, with the credentials of the current context."""
    from kubernetes import client, config

    found = client.Configuration()
    try:
        config.load_kube_config(
            config_file=str(access.kubeconfig) if access.kubeconfig else None, client_configuration=found
        )
    except (config.ConfigException, OSError) as error:
        raise ClusterRefused(f"--host is not given, and kubeconfig has no cluster: {error}") from None
    configuration.host = f"{found.host}{_PROXY}"
    for field in ("ssl_ca_cert", "cert_file", "key_file", "verify_ssl"):
        setattr(configuration, field, getattr(found, field))
    if authorization := found.api_key.get("authorization"):
        configuration.api_key["authorization"] = authorization
        configuration.api_key_prefix["authorization"] = found.api_key_prefix.get("authorization", "")


def _object(body: str) -> dict[str, Any] | None:
    """The JSON object that `body` is; None if it is none."""
    with contextlib.suppress(ValueError, TypeError):
        found = json.loads(body)
        return found if isinstance(found, dict) else None
    return None


def _reason(error: ApiException) -> str:
    """What the server says about its refusal, in one line."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
    with contextlib.suppress(ValueError, AttributeError):
        said = json.loads(body)
        body = str(said.get("message") or said.get("error_message") or said.get("error") or body)
    return " ".join(body.split())[:500] or str(error.reason or "")


def _root_cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _root_cause(reason) if isinstance(reason, BaseException) else str(error)
