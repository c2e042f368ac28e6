"""Converts flags to the settings of the parts of the server."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import Any

import grpc
from tensorflow.core.protobuf import config_pb2

from serving.model_server import metrics, text_protos
from serving.model_server.calls import Limits
from serving.model_server.connections import ConnectionLimits
from serving.model_server.polling import PollSettings
from serving.model_server.request_logs import LogLimits


def limits(flags: argparse.Namespace) -> Limits:
    """Returns the limits of requests."""
    return Limits(
        flags.max_body_bytes,
        flags.max_batch_rows,
        flags.max_input_bytes,
        flags.max_output_bytes,
        flags.max_bytes_in_flight,
        flags.max_concurrent_requests,
        flags.rest_api_timeout_in_ms / 1000,
        flags.body_timeout_seconds,
        flags.slow_body_bytes_per_second,
    )


def log_limits(flags: argparse.Namespace) -> LogLimits:
    """Returns the bounds of request logs."""
    return LogLimits(
        flags.request_log_max_file_bytes, flags.request_log_max_total_bytes, flags.request_log_max_queue_bytes
    )


def connection_limits(flags: argparse.Namespace) -> ConnectionLimits:
    """Returns the limits of HTTP connections."""
    return ConnectionLimits(
        flags.max_connections,
        flags.max_header_bytes,
        flags.header_timeout_seconds,
        flags.idle_timeout_seconds,
        flags.body_timeout_seconds,
    )


def poll_settings(flags: argparse.Namespace) -> PollSettings:
    """Returns how to look for versions."""
    return PollSettings(
        flags.file_system_poll_wait_seconds,
        flags.max_num_load_retries,
        flags.load_retry_interval_micros / 1e6,
        flags.num_load_threads,
        flags.allow_version_labels_for_unavailable_models,
    )


def metrics_path(flags: argparse.Namespace) -> str | None:
    """Returns the path of the metrics page, or None if it is off."""
    if not flags.monitoring_config_file:
        return None
    config = text_protos.read(Path(flags.monitoring_config_file), "MonitoringConfig", "monitoring_config_file")
    prometheus = config.prometheus_config
    return (prometheus.path or metrics.PATH) if prometheus.enable else None


def credentials(flags: argparse.Namespace) -> Any:
    """Returns the TLS credentials for gRPC, or None without TLS."""
    if not flags.ssl_config_file:
        return None
    config = text_protos.read(Path(flags.ssl_config_file), "SSLConfig", "ssl_config_file")
    pair = (config.server_key.encode(), config.server_cert.encode())
    return grpc.ssl_server_credentials([pair], config.custom_ca.encode() or None, config.client_verify)


def session_config(flags: argparse.Namespace) -> config_pb2.ConfigProto:
    """Returns the configuration of TensorFlow's sessions. A parallelism of 0 leaves it to TensorFlow."""
    config, file = config_pb2.ConfigProto(), flags.tensorflow_session_config_file
    if file:
        text_protos.parse(Path(file), config, "tensorflow_session_config_file")
    default = flags.tensorflow_session_parallelism
    if intra_op := flags.tensorflow_intra_op_parallelism or default:
        config.intra_op_parallelism_threads = intra_op
    if inter_op := flags.tensorflow_inter_op_parallelism or default:
        config.inter_op_parallelism_threads = inter_op
    return config


def channel_arguments(text: str) -> list[tuple[str, Any]]:
    """Returns the options of --grpc_channel_arguments."""
    pairs = (pair.split("=", 1) for pair in text.split(",") if pair)
    return [(pair[0], int(pair[1]) if pair[1].isdecimal() else pair[1]) for pair in pairs if len(pair) == 2]


def bound(host: str, port: int) -> socket.socket:
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
