"""Connection settings for Kubeflow's API: a given host, or the proxy of the cluster in a kubeconfig."""

from __future__ import annotations

import logging
from typing import Any

import kfp_server_api as api
import urllib3

from errors import ClusterRefused
from pipeline.kubeflow.options import Access

# A proxy returns these while the API restarts. Requests that change nothing are retried.
AWAY = (502, 503, 504)
PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:8888/proxy"
_RETRIES = urllib3.Retry(total=4, backoff_factor=0.5, status_forcelist=AWAY, raise_on_status=False)


def configuration_of(access: Access) -> Any:
    """Returns the `kfp_server_api.Configuration` that reaches the API.

    Raises:
      ClusterRefused: the host is not a URL, or kubeconfig has no cluster.
    """
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
    # urllib3 would print a warning for each retry. The outcome is a response or an error of `KubeflowClient.call`.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return configuration


def _from_kubeconfig(configuration: Any, access: Access) -> None:
    """Uses the proxy of the cluster and the credentials of the current context."""
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
    if authorization := found.api_key.get("authorization"):
        configuration.api_key["authorization"] = authorization
        configuration.api_key_prefix["authorization"] = found.api_key_prefix.get("authorization", "")
