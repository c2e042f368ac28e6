"""A client for Kubeflow's API (v2beta1). Its errors name the server, the failed action and the next step."""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kfp_server_api as api
import urllib3
from kfp_server_api import rest
from kfp_server_api.exceptions import ApiException, ApiTypeError, ApiValueError

from errors import ClusterRefused, ServiceUnavailable
from kindred.invocation import command
from pipeline.kubeflow.connection import AWAY, PROXY, configuration_of
from pipeline.kubeflow.options import Access

_MAJOR = 2
_PAGE = 100
_SECONDS = 30
_HINTS = {
    401: "the token is missing, wrong or expired; give a new one with --token or --token-file",
    403: "the token is not allowed to do this; check its role, and --namespace",
    404: "it does not exist",
    409: "the name is taken",
}
_LOGIN_PAGE = (
    "the response is a web page, such as one to log in; give a token with --token or --token-file, or the cookie of a "
    "session with --cookie; or check --host"
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECURITY_CONTEXT = re.compile(r'unknown field \\*"securityContext')
_NO_SECURITY_CONTEXT = (
    "Kubeflow Pipelines before 2.16 has no security contexts; with --config, give "
    "--set kubeflow.task.run_as_non_root=false and remove run_as_user and run_as_group from the pipeline file"
)


class KubeflowClient:
    """A Kubeflow Pipelines server.

    Attributes:
      host: its URL.
      namespace: the user's profile, on a server with several users.
      kubernetes: the URL of the cluster's own API, if the client reaches the server through it. Otherwise None.
      pipelines, uploads, experiments, runs, recurring_runs: the services of the API, for `call`.

    Example:
      >>> client = KubeflowClient(Access(host="http://127.0.0.1:8888"))
      >>> run = client.call("show the run", client.runs.run_service_get_run, run_id)
    """

    def __init__(self, access: Access) -> None:
        """Connects to the server and checks its version.

        Args:
          access: the address of the server and the credentials.

        Raises:
          ServiceUnavailable: the server cannot be reached.
          ClusterRefused: the server is not Kubeflow Pipelines 2, or it refuses the token.
        """
        configuration = configuration_of(access)
        self.host = access.host or configuration.host
        self.namespace = access.namespace
        self._options = access.options()
        self._proxy = configuration.proxy
        self.kubernetes = None if access.host else configuration.host.removesuffix(PROXY)
        self._client = client = api.ApiClient(configuration)
        for name, value in _headers(access):
            client.set_default_header(name, value)
        self.pipelines = api.PipelineServiceApi(client)
        self.uploads = api.PipelineUploadServiceApi(client)
        self.experiments = api.ExperimentServiceApi(client)
        self.runs = api.RunServiceApi(client)
        self.recurring_runs = api.RecurringRunServiceApi(client)
        self._health = api.HealthzServiceApi(client)
        self._check()

    def call(self, action: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Calls a method of the API, with a timeout of 30 s per request.

        Args:
          action: the action, for messages, such as "start a run".
          method: a method of one of the services.
          arguments: the positional arguments of the method.
          options: the keyword arguments of the method.

        Returns:
          The model object of the response.

        Raises:
          ServiceUnavailable: the server cannot be reached, or a proxy answers in its place.
          ClusterRefused: the server refuses the request. The message has the reason and the next step.
        """
        try:
            answer = method(*arguments, _request_timeout=_SECONDS, **options)
        except (urllib3.exceptions.HTTPError, ssl.SSLError) as error:
            cause = _root_cause(error)
            raise ServiceUnavailable(
                f"{self.host}: cannot be reached to {action}: {cause}; {_advice(cause, self._proxy)}"
            ) from None
        except ApiException as error:
            if error.status in AWAY:
                raise ServiceUnavailable(self._message(action, error)) from error
            raise ClusterRefused(self._message(action, error)) from error
        except (ApiValueError, ApiTypeError, ValueError, TypeError, AttributeError) as error:
            raise ClusterRefused(
                f"{self.host}: the response to the request to {action} is not from Kubeflow Pipelines 2 ({error})"
            ) from error
        if self._is_web_page(self._client.last_response):
            raise ClusterRefused(f"{self.host}: refuses to {action}: {_LOGIN_PAGE}")
        return answer

    def find(self, action: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any | None:
        """Does the same as `call`, but returns None if the object does not exist (status 404)."""
        try:
            return self.call(action, method, *arguments, **options)
        except ClusterRefused as error:
            if status_of(error) == 404:
                return None
            raise

    def list_all(
        self, action: str, method: Callable[..., Any], field: str, *arguments: Any, **options: Any
    ) -> Iterator[Any]:
        """Yields every element of a list, page by page.

        Args:
          action: the action, for messages.
          method: a method that returns one page.
          field: the field of the page that contains the elements.
          arguments: the positional arguments of the method.
          options: the keyword arguments of the method.

        Raises:
          ServiceUnavailable, ClusterRefused: see `call`.
        """
        token = ""
        while True:
            page = self.call(action, method, *arguments, page_size=_PAGE, page_token=token, **options)
            yield from getattr(page, field) or ()
            token = page.next_page_token or ""
            if not token:
                return

    def get_text(
        self,
        action: str,
        path: str,
        names: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        host: str | None = None,
    ) -> str:
        """Returns the body of a GET request that the generated client lacks.

        Args:
          action: the action, for messages.
          path: the path below the host, with a placeholder `{name}` for each of `names`.
          names: the values of the placeholders.
          query: the query parameters.
          host: another host to send the request to, with the same credentials.

        Raises:
          ServiceUnavailable, ClusterRefused: see `call`.
        """
        return str(self.call(action, self._get, path, dict(names), list((query or {}).items()), host))

    def run_url(self, run_id: str) -> str | None:
        """Returns the URL of a run in the user interface, or None if the host serves only the API."""
        return None if self.kubernetes else f"{self.host}/#/runs/details/{run_id}"

    def command(self, *words: object) -> str:
        """Returns a `kindred` command line that addresses this server."""
        return command(*words, *self._options)

    def namespace_option(self) -> dict[str, str]:
        """Returns the keyword argument `namespace`, or nothing if no namespace is set."""
        return {"namespace": self.namespace} if self.namespace else {}

    def _get(
        self, path: str, names: dict[str, str], query: list[tuple[str, str]], host: str | None, _request_timeout: int
    ) -> str:
        # Not preloaded, because the generated client decodes strictly and a log may contain any bytes.
        response = self._client.call_api(
            path, "GET", names, query, {}, auth_settings=["Bearer"], _preload_content=False,
            _return_http_data_only=True, _request_timeout=_request_timeout, _host=host,
        )  # fmt: skip
        return bytes(response.data).decode("utf-8", "replace")

    def _check(self) -> None:
        try:
            health = self.call("report its health", self._health.healthz_service_get_healthz)
        except ClusterRefused as error:
            if status_of(error) == 404:
                raise ClusterRefused(
                    f"{self.host}: has no API v2beta1; Kubeflow Pipelines 2 is required; check --host, which must be "
                    "the address of the user interface or of port 8888 of the service ml-pipeline"
                ) from None
            raise
        # The generated model lacks the version, and is empty if the client cannot read the response.
        content = _object(self._client.last_response.data)
        if content is None:
            raise ClusterRefused(f"{self.host}: is not a server of Kubeflow Pipelines; check --host")
        version = re.match(r"v?(\d+)\.", str(content.get("tag_name", "")))
        if version and int(version[1]) != _MAJOR:
            raise ClusterRefused(
                f"{self.host}: is Kubeflow Pipelines {content['tag_name']}; Kindred's packages require version {_MAJOR}"
            )
        if health.multi_user and not self.namespace:
            raise ClusterRefused(f"{self.host}: has several users; give the name of your profile with --namespace")

    def _message(self, action: str, error: ApiException) -> str:
        reason = _reason(error)
        hint = _HINTS.get(error.status, "")
        if _SECURITY_CONTEXT.search(str(error.body)):
            hint = _NO_SECURITY_CONTEXT
        if error.status in (301, 302, 303, 307, 308) or reason.lstrip().startswith("<"):
            return f"{self.host}: refuses to {action} ({error.status}): {_of_web_page(error.status)}"
        return f"{self.host}: refuses to {action} ({error.status}): {'; '.join(filter(None, [reason, hint]))}"

    @staticmethod
    def _is_web_page(response: Any) -> bool:
        """Returns whether a successful response is a page for people. `get_text` reads such pages itself."""
        return isinstance(response, rest.RESTResponse) and str(response.getheader("Content-Type", "")).startswith(
            "text/html"
        )


def _headers(access: Access) -> Iterator[tuple[str, str]]:
    """Yields the name and value of each additional header.

    Raises:
      ClusterRefused: `--header` is not "NAME: VALUE".
    """
    for header in access.header or ():
        name, colon, value = header.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name) or "\n" in value or "\r" in value:
            raise ClusterRefused(f'--header: must have the form "NAME: VALUE" (got {name.strip()!r} and a value)')
        yield name, value.strip()
    if access.cookie:
        yield "Cookie", access.cookie


def _advice(cause: str, proxy: str | None) -> str:
    """Returns the next step after a connection failed because of `cause`."""
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        return "give the certificate of its authority with --ca-file"
    if "WRONG_VERSION_NUMBER" in cause or "record layer failure" in cause:
        return "it does not speak TLS; begin --host with http://"
    if "SSL" in cause or "_ssl.c" in cause:
        return "check --ca-file, --cert and --key"
    if proxy:
        return f"the proxy {_without_password(proxy)} is used; if it must not be, add the host to NO_PROXY"
    return "check that --host is the address of Kubeflow Pipelines"


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//", url)


def _of_web_page(status: int) -> str:
    """Returns what a web page with this status means."""
    if status == 404:
        return "a web server has no such page; check the path of --host"
    if status >= 500:
        return "an error page of a proxy in front of Kubeflow; look at the pods of Kubeflow"
    return _LOGIN_PAGE


def status_of(error: ClusterRefused) -> int | None:
    """Returns the HTTP status that caused `error`, or None."""
    cause = error.__cause__
    return int(cause.status) if isinstance(cause, ApiException) and cause.status else None


def _object(body: str) -> dict[str, Any] | None:
    """Returns the JSON object in `body`, or None if `body` contains something else."""
    with contextlib.suppress(ValueError, TypeError):
        found = json.loads(body)
        return found if isinstance(found, dict) else None
    return None


def _reason(error: ApiException) -> str:
    """Returns the reason that the server gives, in one line."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
    with contextlib.suppress(ValueError, AttributeError):
        content = json.loads(body)
        body = str(content.get("message") or content.get("error_message") or content.get("error") or body)
    return " ".join(body.split())[:500] or str(error.reason or "")


def _root_cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _root_cause(reason) if isinstance(reason, BaseException) else str(error)
