"""A connection to ML Metadata that waits for the service to start and survives its restarts."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata import errors
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from errors import ConfigError, ServiceUnavailable
from pipeline.config.sections.kubeflow import Metadata

PASSWORD_VARIABLE = "KINDRED_METADATA_PASSWORD"
"""The cluster sets it from a secret. All other settings of a task are arguments."""

TLS_FOLDER = Path("/etc/kindred/metadata")
"""Where the pods of tasks and of the service have the secret with certificates."""

_CALL_SECONDS = 60.0
_LONGEST_PAUSE = 5.0
_NOT_CONNECTED = ("failed to connect", "connection refused", "name resolution", "dns resolution")


@dataclasses.dataclass(frozen=True)
class Certificates:
    """The certificate of one side, its key, and the authority that signs the certificates of both sides, as PEM."""

    authority: str
    chain: str
    key: str

    @classmethod
    def read(cls, folder: Path) -> Certificates:
        """Reads the files of a secret, which have the names that cert-manager gives them.

        Raises:
          ConfigError: a file is missing or not PEM.
        """
        return cls(*(_read_pem(folder / name) for name in ("ca.crt", "tls.crt", "tls.key")))


def _read_pem(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"kubeflow.metadata.grpc.tls_secret: its file {path} cannot be read ({error}); "
            "the secret must have ca.crt, tls.crt and tls.key"
        ) from None


def connection(place: Metadata) -> metadata.ConnectionConfigType:
    """Returns the connection configuration for the client of ML Metadata."""
    if place.grpc is not None:
        client = metadata_store_pb2.MetadataStoreClientConfig(
            host=place.grpc.host, port=place.grpc.port, client_timeout_sec=_CALL_SECONDS
        )
        if place.grpc.tls_secret is not None:
            found = Certificates.read(TLS_FOLDER)
            ssl = client.ssl_config
            # `server_cert` is the chain of the client, whose key is `client_key` (_get_channel in ml_metadata 1.17).
            ssl.custom_ca, ssl.server_cert, ssl.client_key = found.authority, found.chain, found.key
        return client
    if place.mysql is not None:
        password = os.environ.get(PASSWORD_VARIABLE, "")
        mysql = place.mysql
        return metadata.mysql_metadata_connection_config(mysql.host, mysql.port, mysql.database, mysql.user, password)
    return metadata.sqlite_metadata_connection_config(str(place.sqlite))


class PatientMetadata(metadata.Metadata):
    """TFX's metadata handle with a store that retries while the service is unavailable."""

    _store: mlmd.MetadataStore | None

    def __init__(self, config: metadata.ConnectionConfigType, open_: Callable[..., Any] | None = None) -> None:
        super().__init__(config)
        self._open = open_

    def __enter__(self) -> PatientMetadata:
        """Opens the store. A nested block uses the open store."""
        if self._store is None:
            self._store = open_store(self._connection_config, self._open)
        self._users += 1
        return self


def open_store(config: metadata.ConnectionConfigType, open_: Callable[..., Any] | None = None) -> mlmd.MetadataStore:
    """Returns a store that retries its calls. Also retries to create the tables of a new database.

    Args:
      config: connects to ML Metadata.
      open_: makes the store. The default is `PatientStore`.
    """
    return _patiently(lambda: (open_ or PatientStore)(config), lambda error: True, attempts=5)


class PatientStore(mlmd.MetadataStore):
    """A store that retries its calls while the service is unavailable.

    The client of ML Metadata retries only aborted calls. This store retries a write only if the request never reached
    the service, because a repeated write would create a second execution.
    """

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if not name.startswith(("get_", "put_")):
            return method

        def passing(error: Exception) -> bool:
            return isinstance(error, errors.UnavailableError) and (name.startswith("get_") or _never_arrived(error))

        @functools.wraps(method)
        def patient(*arguments: Any, **options: Any) -> Any:
            return _patiently(lambda: method(*arguments, **options), passing, attempts=8)

        return patient


def wait_for(place: Metadata) -> metadata.ConnectionConfigType:
    """Waits until ML Metadata at `place` answers, and returns its connection configuration.

    Raises:
      ServiceUnavailable: it did not answer within `wait_seconds` of `place`.
    """
    config, deadline, pause = connection(place), time.monotonic() + place.wait_seconds, 0.1
    while True:
        try:
            mlmd.MetadataStore(config).get_execution_types()
        except (errors.StatusError, RuntimeError) as error:
            if time.monotonic() + pause > deadline:
                raise ServiceUnavailable(
                    f"ML Metadata at {_describe(place)} did not answer in {place.wait_seconds} s: {error}; "
                    f"check that it is running, and check kubeflow.metadata{_hint(place)}"
                ) from None
        else:
            return config
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _hint(place: Metadata) -> str:
    """Returns what else may be wrong. The client reports neither why MySQL refuses nor why TLS fails."""
    if place.mysql is not None:
        return " with its user and password"
    return " with tls_secret: both sides must use TLS, with the same authority" if place.grpc is not None else ""


def _describe(place: Metadata) -> str:
    if place.grpc is not None:
        return f"{place.grpc.host}:{place.grpc.port}"
    if place.mysql is not None:
        return f"mysql {place.mysql.user}@{place.mysql.host}:{place.mysql.port}/{place.mysql.database}"
    return str(place.sqlite)


def _patiently(attempt: Callable[[], Any], passing: Callable[[Exception], bool], attempts: int) -> Any:
    """Returns the result of `attempt`. Retries after growing pauses while `passing` accepts the error."""
    tries = 0
    while True:
        try:
            return attempt()
        except (errors.StatusError, RuntimeError) as error:
            tries += 1
            if tries == attempts or not passing(error):
                raise
        time.sleep(min(0.1 * 2**tries, _LONGEST_PAUSE))


def _never_arrived(error: Exception) -> bool:
    return any(sign in str(error).lower() for sign in _NOT_CONNECTED)
