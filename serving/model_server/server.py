"""Starts and drains the parts of a server: models, REST and gRPC."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import uvicorn

from serving.model_server import batching, metrics, model_config, rpc, text_protos
from serving.model_server.calls import Limits
from serving.model_server.faults import Fault, invalid
from serving.model_server.inference import Inference
from serving.model_server.loading import Loader
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_config import ServedModel
from serving.model_server.model_manager import ModelManager
from serving.model_server.polling import PollSettings
from serving.model_server.rest import RestApi
from serving.model_server.servable import SessionSettings
from serving.model_server.service import Service

log = logging.getLogger("kindred.model_server")
_PROCESSORS = os.cpu_count() or 1


class ModelServer:
    """A model server. `start` returns after the ports are open and the first models have loaded or failed.

    Attributes:
      service: the calls that REST and gRPC share (`serving.model_server.service.Service`).

    Example:
      ```python
      server = ModelServer(flags.parse(["--model_name=m", "--model_base_path=/models/m"]))
      server.start()
      ```
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        """Reads every configuration file.

        Args:
          flags: the parsed command line (`serving.model_server.flags.parse`).

        Raises:
          Fault: a configuration file cannot be used.
        """
        self._flags = flags
        self._metrics = ServerMetrics()
        inference = Inference(self._metrics, flags.enable_signature_method_name_check)
        manager = ModelManager(self._models(), self._loader(inference), _poll_settings(flags))
        self.service = Service(manager, inference, self._metrics, _limits(flags))
        self._metrics_path = _metrics_path(flags)
        self._grpc: grpc.Server | None = None
        self._rest: uvicorn.Server | None = None
        self._rest_thread: threading.Thread | None = None
        self._rest_pool = ThreadPoolExecutor(
            flags.rest_api_num_threads or max(4 * _PROCESSORS, 16), thread_name_prefix="rest"
        )
        self._api = RestApi(self.service, self._rest_pool, self._metrics_path, flags.rest_api_enable_cors_support)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Opens the ports, then loads the models.

        Raises:
          OSError: a port cannot be bound.
        """
        flags = self._flags
        if flags.rest_api_port:
            self._start_rest(_bound(flags.host, flags.rest_api_port))
            log.info("Exporting HTTP/REST API at:%s:%d ...", flags.host, flags.rest_api_port)
        if flags.port or flags.grpc_socket_path:
            self._start_grpc()
        models = self.service.models
        models.start()
        while not models.wait_until_settled(1):
            if self._stopping.is_set():
                return
        if flags.model_config_file and flags.model_config_file_poll_wait_seconds:
            threading.Thread(target=self._reread_config, name="config", daemon=True).start()
        log.info("Ready")

    def _start_rest(self, listening: socket.socket) -> None:
        config = uvicorn.Config(
            self._api.application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
            server_header=False,
            timeout_graceful_shutdown=max(int(self._flags.drain_seconds), 1),
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._rest = uvicorn.Server(config)
        self._rest_thread = threading.Thread(target=self._rest.run, args=([listening],), name="http", daemon=True)
        self._rest_thread.start()

    def _start_grpc(self) -> None:
        flags = self._flags
        threads = flags.grpc_max_threads or max(4 * _PROCESSORS, 16)
        options = _channel_arguments(flags.grpc_channel_arguments)
        self._grpc = rpc.build_server(self.service, threads, flags.enable_serialization_as_tensor_content, options)
        credentials = _credentials(flags)
        addresses = [f"{flags.host}:{flags.port}"] if flags.port else []
        addresses += [f"unix:{flags.grpc_socket_path}"] if flags.grpc_socket_path else []
        for address in addresses:
            try:
                add = self._grpc.add_secure_port if credentials else self._grpc.add_insecure_port
                add(*([address, credentials] if credentials else [address]))
            except RuntimeError:
                raise OSError(f"cannot listen on {address}. Choose another --port") from None
            log.info("Running gRPC ModelServer at %s ...", address)
        self._grpc.start()

    def stop(self) -> None:
        """Refuses new requests, waits up to --drain_seconds for running requests, and frees the models."""
        log.info("Draining")
        self._stopping.set()
        grace = self._flags.drain_seconds
        grpc_ended = self._grpc.stop(grace) if self._grpc is not None else None
        if self._rest is not None and self._rest_thread is not None:
            self._rest.should_exit = True
            self._api.refuse_bodies()
            self._rest_thread.join(grace + 1)
        if grpc_ended is not None:
            grpc_ended.wait(grace + 1)
        self._rest_pool.shutdown(wait=False, cancel_futures=True)
        self.service.models.close()
        log.info("Stopped")

    def _models(self) -> list[ServedModel]:
        flags = self._flags
        if flags.model_config_file:
            return model_config.read_config_file(Path(flags.model_config_file))
        path = flags.model_base_path
        if not flags.model_name:
            raise invalid("--model_name must not be empty")
        return [ServedModel(flags.model_name, path if "://" in path else os.path.abspath(path))]

    def _loader(self, inference: Inference) -> Loader:
        flags = self._flags
        settings = None
        if flags.enable_batching:
            file = flags.batching_parameters_file
            settings = batching.read_settings(Path(file)) if file else batching.BatchingSettings()
        session = SessionSettings(
            tuple(tag for tag in flags.saved_model_tags.split(",") if tag),
            flags.tensorflow_intra_op_parallelism or flags.tensorflow_session_parallelism,
            flags.tensorflow_inter_op_parallelism or flags.tensorflow_session_parallelism,
            flags.rest_api_timeout_in_ms,
        )
        warmup, iterations = flags.enable_model_warmup, flags.num_request_iterations_for_warmup or 1
        return Loader(session, inference, self._metrics, settings, warmup, iterations)

    def _reread_config(self) -> None:
        """Applies --model_config_file whenever its content changes."""
        path = Path(self._flags.model_config_file)
        applied = self._models()
        while not self._stopping.wait(self._flags.model_config_file_poll_wait_seconds):
            applied = self._apply_config(path, applied)

    def _apply_config(self, path: Path, applied: list[ServedModel]) -> list[ServedModel]:
        """Applies the file. Returns the active configuration, which stays `applied` if the file cannot be used."""
        try:
            wanted = model_config.read_config_file(path)
            if wanted != applied:
                self.service.models.reload(wanted)
        except Fault as fault:
            log.error("%s: %s", path, fault.message)
            return applied
        return wanted


def _limits(flags: argparse.Namespace) -> Limits:
    return Limits(
        flags.max_body_bytes,
        flags.max_batch_rows,
        flags.max_input_bytes,
        flags.max_output_bytes,
        flags.max_bytes_in_flight,
        flags.max_concurrent_requests,
        flags.rest_api_timeout_in_ms / 1000,
        flags.body_timeout_seconds,
    )


def _poll_settings(flags: argparse.Namespace) -> PollSettings:
    return PollSettings(
        flags.file_system_poll_wait_seconds,
        flags.max_num_load_retries,
        flags.load_retry_interval_micros / 1e6,
        flags.num_load_threads,
        flags.allow_version_labels_for_unavailable_models,
    )


def _metrics_path(flags: argparse.Namespace) -> str | None:
    if not flags.monitoring_config_file:
        return None
    config = text_protos.read(Path(flags.monitoring_config_file), "MonitoringConfig", "monitoring_config_file")
    prometheus = config.prometheus_config
    return (prometheus.path or metrics.PATH) if prometheus.enable else None


def _credentials(flags: argparse.Namespace) -> Any:
    """Returns the TLS credentials for gRPC, or None without TLS."""
    if not flags.ssl_config_file:
        return None
    config = text_protos.read(Path(flags.ssl_config_file), "SSLConfig", "ssl_config_file")
    pair = (config.server_key.encode(), config.server_cert.encode())
    return grpc.ssl_server_credentials([pair], config.custom_ca.encode() or None, config.client_verify)


def _channel_arguments(text: str) -> list[tuple[str, Any]]:
    pairs = (pair.split("=", 1) for pair in text.split(",") if pair)
    return [(pair[0], int(pair[1]) if pair[1].isdecimal() else pair[1]) for pair in pairs if len(pair) == 2]


def _bound(host: str, port: int) -> socket.socket:
    """Binds a socket. Reuses a port that another process has just released."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(f"cannot listen on {host}:{port} ({error.strerror}). Choose another port") from None
    return listening
