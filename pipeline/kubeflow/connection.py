"""Connection settings for Kubeflow's API: a given host, or the proxy of the cluster in a kubeconfig."""

from __future__ import annotations

import ipaddress
import logging
import os
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kfp_server_api as api
import urllib3

from errors import ClusterRefused
from pipeline.kubeflow.options import Access

# A proxy returns these while the API restarts. Requests that change nothing are retried.
AWAY = (502, 503, 504)
PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:8888/proxy"
_RETRIES = urllib3.Retry(total=4, backoff_factor=0.5, status_forcelist=AWAY, raise_on_status=False)
# The token that Kubeflow mounts into notebooks: `ServiceAccountTokenVolumeCredentials` in the kfp SDK 2.15.
_TOKEN_PATH = "KF_PIPELINES_SA_TOKEN_PATH"


def configuration_of(access: Access) -> Any:
    """Returns the `kfp_server_api.Configuration` that reaches the API.

    Its credentials are read again for each request, so that a token that is replaced in time never expires.

    Raises:
      ClusterRefused: the host is not a URL, a file is missing, or kubeconfig has no cluster.
    """
    configuration = api.Configuration()
    if access.host is None:
        load_kubeconfig(configuration, access)
    else:
        if not access.host.startswith(("http://", "https://")):
            raise ClusterRefused(f"--host: must begin with http:// or https:// (got {access.host!r})")
        configuration.host = access.host.rstrip("/").removesuffix("/#")
        _set_token(configuration, access)
    files = {"--ca-file": access.ca_file, "--cert": access.cert, "--key": access.key}
    for option, file in files.items():
        if file is not None and not file.is_file():
            raise ClusterRefused(f"{option} {file}: does not exist; give the path of a PEM file")
    if access.ca_file is not None:
        configuration.ssl_ca_cert = str(access.ca_file)
    if access.cert is not None:
        configuration.cert_file, configuration.key_file = str(access.cert), str(access.key or access.cert)
    configuration.proxy = _proxy_for(configuration.host)
    configuration.retries = _RETRIES
    # urllib3 would print a warning for each retry. The outcome is a response or an error of `KubeflowClient.call`.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return configuration


def load_kubeconfig(configuration: Any, access: Access) -> None:
    """Uses the proxy of the cluster and the credentials of the current context.

    Runs the credential plugin of the context, if it has one. The plugin runs again when its token expires.

    Raises:
      ClusterRefused: kubeconfig has no cluster.
    """
    from kubernetes import client, config

    found = client.Configuration()
    try:
        config.load_kube_config(
            config_file=str(access.kubeconfig) if access.kubeconfig else None, client_configuration=found
        )
    except (config.ConfigException, OSError) as error:
        raise ClusterRefused(f"--host is not given, and kubeconfig has no cluster: {error}") from None
    configuration.host = f"{found.host}{PROXY}"
    for field in ("ssl_ca_cert", "cert_file", "key_file", "verify_ssl"):
        setattr(configuration, field, getattr(found, field))
    renew: Callable[[Any], None] | None = found.refresh_api_key_hook

    def copy_token(into: Any) -> None:
        if renew is not None:
            renew(found)
        if authorization := found.api_key.get("authorization"):
            into.api_key["authorization"] = authorization
            into.api_key_prefix["authorization"] = found.api_key_prefix.get("authorization", "")

    copy_token(configuration)
    configuration.refresh_api_key_hook = copy_token


def _set_token(configuration: Any, access: Access) -> None:
    """Sends the given token, or the content of the given file, or of the file that Kubeflow mounts."""
    if access.token and access.token_file:
        raise ClusterRefused("--token and --token-file: give only one of both")
    mounted = os.environ.get(_TOKEN_PATH)
    file = access.token_file or (Path(mounted) if mounted and not access.token else None)

    def set_token(into: Any) -> None:
        token = access.token if file is None else _read_token(file)
        if token:
            into.api_key["authorization"], into.api_key_prefix["authorization"] = token, "Bearer"

    set_token(configuration)
    configuration.refresh_api_key_hook = set_token


def _read_token(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterRefused(f"--token-file {file}: cannot be read ({error}); give the file of a token") from None


def _proxy_for(host: str) -> str | None:
    """Returns the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for `host`. None for addresses of loopback."""
    url = urllib.parse.urlsplit(host)
    name = url.hostname or ""
    if name == "localhost" or _is_loopback(name) or urllib.request.proxy_bypass(name):
        return None
    return urllib.request.getproxies().get(url.scheme)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
