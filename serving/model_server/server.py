"""Starts and drains the parts of a server: models, REST and gRPC."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import uvicorn

from compat import grpcio
from serving.model_server import batching, flag_values, model_config, rpc, rpc_server
from serving.model_server.access import TokenInterceptor, Tokens, check_certificate
from serving.model_server.arrivals import ArrivalInterceptor, Arrivals
from serving.model_server.connections import protocol, within_descriptors
from serving.model_server.faults import Fault, invalid
from serving.model_server.health import Health
from serving.model_server.inference import Inference
from serving.model_server.loading import Loader
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_config import ServedModel
from serving.model_server.model_manager import ModelManager
from serving.model_server.reception import Reception
from serving.model_server.request_logs import RequestLogs
from serving.model_server.rest import RestApi
from serving.model_server.servable import SessionSettings
from serving.model_server.service import Service

log = logging.getLogger("kindred.model_server")
_PROCESSORS = os.cpu_count() or 1
_STOP_SECONDS = 0.5
_BODY_SECONDS = 2.0  # for the rest of a body after SIGTERM. Bodies that are sent at once arrive within it


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
        self._logs = RequestLogs(self._metrics, flag_values.log_limits(flags))
        inference = Inference(self._metrics, flags.enable_signature_method_name_check, self._logs)
        models = self._models()
        manager = ModelManager(models, self._loader(inference), flag_values.poll_settings(flags))
        self.service = Service(manager, inference, self._metrics, flag_values.limits(flags), self._logs)
        self._logs.configure(models)
        self._metrics_path = flag_values.metrics_path(flags)
        self._grpc: grpc.Server | None = None
        self._health: Health | None = None
        self._arrivals: Arrivals | None = None
        self._rest: uvicorn.Server | None = None
        self._rest_thread: threading.Thread | None = None
        self._rest_pool = ThreadPoolExecutor(
            flags.rest_api_num_threads or max(4 * _PROCESSORS, 16), thread_name_prefix="rest"
        )
        self._tokens = Tokens(Path(flags.auth_token_file)) if flags.auth_token_file else None
        if flags.rest_ssl_cert_file:
            check_certificate(flags.rest_ssl_cert_file, flags.rest_ssl_key_file)
        cors = flags.rest_api_enable_cors_support
        self._api = RestApi(self.service, self._rest_pool, self._metrics_path, cors, self._tokens)
        self._stopping = threading.Event()

    def start(self, stop: threading.Event | None = None) -> None:
        """Opens the ports, then loads the models.

        Args:
          stop: ends the wait for the models. `stop` must still be called.

        Raises:
          OSError: a port cannot be bound.
        """
        flags = self._flags
        if flags.rest_api_port:
            self._start_rest(flag_values.bound(flags.host, flags.rest_api_port))
            log.info("Exporting HTTP/REST API at:%s:%d ...", flags.host, flags.rest_api_port)
        if flags.port or flags.grpc_socket_path:
            self._start_grpc()
        models = self.service.models
        models.start()
        while not models.wait_until_settled(_STOP_SECONDS):
            if self._stopping.is_set() or (stop is not None and stop.is_set()):
                return
        if flags.model_config_file and flags.model_config_file_poll_wait_seconds:
            threading.Thread(target=self._reread_config, name="config", daemon=True).start()
        log.info("Ready")

    def _start_rest(self, listening: socket.socket) -> None:
        config = uvicorn.Config(
            self._api,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=protocol(within_descriptors(flag_values.connection_limits(self._flags))),
            timeout_keep_alive=max(int(self._flags.idle_timeout_seconds), 1),
            server_header=False,
            ssl_certfile=self._flags.rest_ssl_cert_file or None,
            ssl_keyfile=self._flags.rest_ssl_key_file or None,
            timeout_graceful_shutdown=max(int(self._flags.drain_seconds), 1),
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._rest = uvicorn.Server(config)
        self._rest_thread = threading.Thread(target=self._rest.run, args=([listening],), name="http", daemon=True)
        self._rest_thread.start()

    def _start_grpc(self) -> None:
        flags = self._flags
        threads = flags.grpc_max_threads or max(4 * _PROCESSORS, 16)
        if flags.enable_grpc_healthcheck_service:
            self._health = Health(watchers=threads // 4)
        self._arrivals = Arrivals(flags.body_timeout_seconds, threads)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        predictions = rpc.PredictionService(self.service, flags.enable_serialization_as_tensor_content)
        answers = {
            **predictions.answers(),
            **rpc.ModelService(self.service, flags.allow_reload_config).answers(),
        }
        options = flag_values.channel_arguments(flags.grpc_channel_arguments)
        interceptors = [ArrivalInterceptor(self._arrivals), *([TokenInterceptor(self._tokens)] if self._tokens else [])]
        self._grpc = rpc_server.build(answers, pool, self.service.limits, options, self._health, interceptors)
        credentials = flag_values.credentials(flags)
        addresses = [f"{flags.host}:{flags.port}"] if flags.port else []
        addresses += [f"unix:{flags.grpc_socket_path}"] if flags.grpc_socket_path else []
        for address in addresses:
            try:
                add = self._grpc.add_secure_port if credentials else self._grpc.add_insecure_port
                add(*([address, credentials] if credentials else [address]))
            except RuntimeError:
                raise OSError(f"cannot listen on {address}. Choose another --port") from None
            log.info("Running gRPC ModelServer at %s ...", address)
        reception = Reception(self.service, predictions, answers, pool, threads, self._arrivals, self._tokens)
        if not grpcio.start(self._grpc, reception.methods, reception):
            self._grpc.start()

    def stop(self) -> bool:
        """Refuses new requests, waits up to --drain_seconds for running requests, and frees the models.

        Requests whose body still arrives have two seconds.

        Returns:
          Whether every thread has ended. A thread that loads a model cannot be interrupted.
        """
        log.info("Draining")
        self._stopping.set()
        if self._health is not None:
            self._health.stop()
        grace = self._flags.drain_seconds
        grpc_ended = self._grpc.stop(grace) if self._grpc is not None else None
        if self._rest is not None and self._rest_thread is not None:
            self._rest.should_exit = True
            refusing = threading.Timer(min(_BODY_SECONDS, grace / 2), self._api.refuse_bodies)
            refusing.start()
            self._rest_thread.join(grace + 1)
            refusing.cancel()
        if grpc_ended is not None:
            grpc_ended.wait(grace + 1)
        if self._arrivals is not None:
            self._arrivals.close()
        self._api.close()
        self._rest_pool.shutdown(wait=False, cancel_futures=True)
        self._logs.close()
        ended = self.service.models.close(_STOP_SECONDS)
        log.info("Stopped" if ended else "Stopped while a model loads")
        return ended

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
        tags = tuple(tag for tag in flags.saved_model_tags.split(",") if tag)
        session = SessionSettings(tags, flags.rest_api_timeout_in_ms, flag_values.session_config(flags))
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
                self.service.reload(wanted)
        except Fault as fault:
            log.error("%s: %s", path, fault.message)
            return applied
        return wanted
