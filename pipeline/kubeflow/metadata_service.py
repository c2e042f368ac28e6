"""ML Metadata over gRPC, from MySQL or a SQLite file: `python -m pipeline.kubeflow.metadata_service --port 8080 ...`.

The package of ML Metadata has the store and the protocol but no server. This server passes each serialized request to
the store. It handles one request at a time, because the store is not thread-safe.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as store_extension
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

from errors import ConfigError, KindredError
from kindred.terminal import log
from pipeline.config.sections.kubeflow import Metadata, Mysql
from pipeline.kubeflow.metadata import TLS_FOLDER, Certificates, connection, wait_for

_SERVICE = "ml_metadata.MetadataStoreService"
_MESSAGE_BYTES = 256 << 20
_LOST = ("gone away", "lost connection", "connection was killed")
_CODES = {code.value[0]: code for code in grpc.StatusCode}

Answer = tuple[bytes, bytes, int]


class Store:
    """The store of ML Metadata as a function of serialized requests."""

    def __init__(self, config: metadata_store_pb2.ConnectionConfig) -> None:
        self._config = config.SerializeToString()
        self._store = self._open()

    def call(self, method: str, request: bytes) -> Answer:
        """Returns the response, error message and status of `method`. Reconnects to a database that hung up."""
        answer: Answer = getattr(store_extension, method)(self._store, request)
        if answer[2] and any(sign in answer[1].decode(errors="replace").lower() for sign in _LOST):
            logging.warning("the database closed the connection; reconnecting")
            self._store = self._open()
            answer = getattr(store_extension, method)(self._store, request)
        return answer

    def _open(self) -> Any:
        return store_extension.CreateMetadataStore(
            self._config, metadata_store_pb2.MigrationOptions().SerializeToString()
        )


def serve(place: Metadata, host: str, port: int, tls: Path | None = None) -> tuple[grpc.Server, int]:
    """Starts the service.

    Args:
      place: the database.
      host: the address to listen on.
      port: the port to listen on. 0: a free port.
      tls: the folder with certificates. Clients must then show one of the same authority. None: no encryption.

    Returns:
      The server, and its port.

    Raises:
      ServiceUnavailable: the database does not answer in time.
      ConfigError: a certificate cannot be read.
      OSError: the port is in use.
    """
    wait_for(place)
    # One thread, because the store is not thread-safe.
    server = grpc.server(
        ThreadPoolExecutor(max_workers=1),
        options=[("grpc.max_receive_message_length", _MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
    )
    server.add_generic_rpc_handlers((_handler(Store(connection(place))),))
    try:
        address = f"{host}:{port}"
        bound = server.add_secure_port(address, _credentials(tls)) if tls else server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"port {port} cannot be used: {error}") from None
    server.start()
    return server, bound


def _credentials(folder: Path) -> grpc.ServerCredentials:
    """Returns credentials that follow the files in `folder`: a renewed certificate needs no restart."""

    def read() -> grpc.ServerCertificateConfiguration:
        found = Certificates.read(folder)
        pair = (found.key.encode(), found.chain.encode())
        return grpc.ssl_server_certificate_configuration([pair], found.authority.encode())

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        try:
            return read()
        except ConfigError as error:
            logging.warning("the certificates stay as they are: %s", error)
            return None

    return grpc.dynamic_ssl_server_credentials(read(), renewed, require_client_authentication=True)


def _handler(store: Store) -> grpc.GenericRpcHandler:
    methods = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"].methods
    known = [method.name for method in methods if hasattr(store_extension, method.name)]
    return grpc.method_handlers_generic_handler(
        _SERVICE, {name: grpc.unary_unary_rpc_method_handler(_method(store, name)) for name in known}
    )


def _method(store: Store, name: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        response, message, status = store.call(name, request)
        if status:
            context.abort(_CODES.get(status, grpc.StatusCode.UNKNOWN), message.decode("utf-8", errors="replace"))
        return response

    return answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT arrives. Returns the exit code."""
    logging.basicConfig(level=logging.INFO)
    options = _parser().parse_args(arguments)
    if options.sqlite is not None:
        place = Metadata(sqlite=str(options.sqlite.absolute()))
    else:
        place = Metadata(
            mysql=Mysql(
                host=options.mysql_host, port=options.mysql_port, database=options.mysql_database,
                user=options.mysql_user, secret="unused",
            )
        )  # fmt: skip
    try:
        server, port = serve(place, options.host, options.port, TLS_FOLDER if options.tls else None)
    except (KindredError, OSError) as error:
        log(f"error: {error}")
        return 1
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    print(f"ML Metadata on port {port}", flush=True)
    stopped.wait()
    server.stop(grace=5).wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.metadata_service", allow_abbrev=False)
    parser.add_argument("--host", default="[::]")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--tls", action="store_true", help=f"Serve with the certificates in {TLS_FOLDER}.")
    database = parser.add_mutually_exclusive_group(required=True)
    database.add_argument("--sqlite", type=Path)
    database.add_argument("--mysql-host")
    parser.add_argument("--mysql-port", type=int, default=3306)
    parser.add_argument("--mysql-database", default="kindred")
    parser.add_argument("--mysql-user", default="kindred")
    return parser


if __name__ == "__main__":
    sys.exit(main())
