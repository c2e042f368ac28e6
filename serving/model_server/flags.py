"""Command-line flags: those of tensorflow_model_server and a few more. Uses only the standard library."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_TRUE, _FALSE = ("true", "1", "t", "yes"), ("false", "0", "f", "no")


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag. Its default determines its type."""

    name: str
    default: Any
    help: str


SERVED = (
    Flag("port", 8500, "TCP port for gRPC. 0 disables it."),
    Flag("grpc_socket_path", "", "UNIX socket for gRPC."),
    Flag("rest_api_port", 0, "TCP port for REST. 0 disables it."),
    Flag("rest_api_num_threads", 0, "Threads for REST requests. 0: derived from the number of processors."),
    Flag("rest_api_timeout_in_ms", 30_000, "Timeout of a REST call, and of the model's work in any call."),
    Flag("rest_api_enable_cors_support", False, "Send CORS headers."),
    Flag("enable_batching", False, "Merge requests into batches."),
    Flag("batching_parameters_file", "", "BatchingParameters file in text format."),
    Flag(
        "model_config_file",
        "",
        "ModelServerConfig file in text format, to serve several models.",
    ),
    Flag("model_config_file_poll_wait_seconds", 0, "Seconds between two reads of --model_config_file. 0: read once."),
    Flag("model_name", "default", "Name of the model."),
    Flag("model_base_path", "", "Directory of the versions of the model."),
    Flag("num_load_threads", 0, "Threads that load models."),
    Flag("max_num_load_retries", 5, "Maximum number of retries for a version that does not load."),
    Flag("load_retry_interval_micros", 60_000_000, "Time between two retries."),
    Flag("file_system_poll_wait_seconds", 1.0, "Seconds between two checks for versions. 0: check once."),
    Flag(
        "allow_version_labels_for_unavailable_models",
        False,
        "Allow new labels for unavailable versions.",
    ),
    Flag("tensorflow_session_parallelism", 0, "Default of the next two flags."),
    Flag("tensorflow_intra_op_parallelism", 0, "Threads within an operation. 0: TensorFlow decides."),
    Flag("tensorflow_inter_op_parallelism", 0, "Threads across operations. 0: TensorFlow decides."),
    Flag(
        "tensorflow_session_config_file",
        "",
        "ConfigProto of TensorFlow in text format. The three flags above win if they are set.",
    ),
    Flag("ssl_config_file", "", "SSLConfig file in text format. Enables TLS for gRPC."),
    Flag("saved_model_tags", "serve", "Comma-separated tags of the graph to load."),
    Flag("grpc_channel_arguments", "", "Comma-separated name=value pairs."),
    Flag("grpc_max_threads", 0, "Threads for gRPC requests. 0: derived from the number of processors."),
    Flag("enable_grpc_healthcheck_service", False, "Serve grpc.health.v1.Health."),
    Flag("enable_model_warmup", True, "Replay the warm-up requests of a version before it serves."),
    Flag("num_request_iterations_for_warmup", 0, "Number of times to replay each warm-up request. 0: once."),
    Flag("monitoring_config_file", "", "MonitoringConfig file in text format. Enables Prometheus metrics."),
    Flag(
        "enable_signature_method_name_check",
        False,
        "Check the method names of signatures.",
    ),
    Flag("enable_serialization_as_tensor_content", False, "Pack tensors in gRPC responses as tensor_content."),
)
# Accepted for compatibility. They have no effect on this server.
IGNORED = (
    "num_unload_threads", "flush_filesystem_caches", "per_process_gpu_memory_fraction", "enable_profiler",
    "remove_unused_fields_from_bundle_metagraph", "xla_cpu_compilation_enabled", "xla_gpu_compilation_enabled",
    "skip_initialize_tpu", "num_tflite_pools", "num_tflite_interpreters_per_pool", "mixed_precision",
    "enable_per_model_batching_parameters",
)  # fmt: skip
# Refused, because ignoring them would change how a model is served.
REFUSED = (
    "use_alts_credentials", "platform_config_file", "prefer_tflite_model", "thread_pool_factory_config_file",
)  # fmt: skip
ADDED = (
    Flag("host", "127.0.0.1", "Address to listen on. 0.0.0.0 listens on all interfaces."),
    Flag("max_body_bytes", 64 << 20, "Maximum size of a request in bytes."),
    Flag("max_batch_rows", 100_000, "Maximum number of rows in a request."),
    Flag("max_input_bytes", 256 << 20, "Maximum memory of the tensors of a request."),
    Flag("max_output_bytes", 256 << 20, "Maximum memory of an answer: its rows times k."),
    Flag("max_bytes_in_flight", 1 << 30, "Maximum memory that all requests in progress hold."),
    Flag("max_concurrent_requests", 256, "Maximum number of concurrent requests."),
    Flag("body_timeout_seconds", 30.0, "Seconds to receive the body of a REST request or the message of a gRPC call."),
    Flag(
        "slow_body_bytes_per_second", 10_000.0, "At a limit, a REST request whose body is slower than this gives way."
    ),
    Flag("max_connections", 1000, "Maximum number of REST connections."),
    Flag("max_header_bytes", 64 << 10, "Maximum size of the request line and headers of a REST request."),
    Flag("header_timeout_seconds", 10.0, "Seconds to receive the head of a REST request."),
    Flag("idle_timeout_seconds", 75.0, "Seconds after which an idle REST connection is closed."),
    Flag("request_log_max_file_bytes", 64 << 20, "Size at which the next file of a request log is begun."),
    Flag("request_log_max_total_bytes", 1 << 30, "Maximum size of all files of a request log."),
    Flag("request_log_max_queue_bytes", 32 << 20, "Maximum memory of requests that wait to be logged."),
    Flag("allow_reload_config", True, "Serve HandleReloadConfigRequest, which loads models from any path."),
    Flag("rest_ssl_cert_file", "", "PEM file of the certificate and its chain. Enables TLS for REST."),
    Flag("rest_ssl_key_file", "", "PEM file of the private key of --rest_ssl_cert_file."),
    Flag("auth_token_file", "", "File of bearer tokens, one a line. Calls without one of them are refused."),
    Flag("drain_seconds", 30.0, "Seconds to finish running requests after SIGTERM."),
)
_FILES = (
    "model_config_file", "batching_parameters_file", "monitoring_config_file", "ssl_config_file", "rest_ssl_cert_file",
    "rest_ssl_key_file", "auth_token_file", "tensorflow_session_config_file",
)  # fmt: skip


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses and checks the command line.

    Args:
      arguments: flags as `--name=value`, `--name value`, or `--name` for a boolean flag.

    Returns:
      A namespace with one attribute per flag.

    Raises:
      SystemExit: a flag is wrong (code 2, after a message on stderr), or `--help` was printed (code 0).
    """
    parser = argparse.ArgumentParser(
        prog="kindred-model-server",
        description="Serves models with the API and flags of TensorFlow Serving, on the installed TensorFlow.",
        allow_abbrev=False,
    )
    for title, flags in (("flags of tensorflow_model_server", SERVED), ("flags of kindred-model-server", ADDED)):
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)
    for name in (*IGNORED, *REFUSED):
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", help="Print the versions and exit.")
    options = parser.parse_args(arguments)
    if not options.version:
        _check(parser, options)
    return options


def _add(group: Any, flag: Flag) -> None:
    if isinstance(flag.default, bool):
        group.add_argument(f"--{flag.name}", type=_switch, nargs="?", const=True, default=flag.default, help=flag.help)
    else:
        kind = type(flag.default)
        group.add_argument(f"--{flag.name}", type=kind, default=flag.default, metavar=kind.__name__, help=flag.help)


def _switch(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise argparse.ArgumentTypeError(f"must be true or false (got {text!r})")
    return text.lower() in _TRUE


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuses flag values that cannot be served. Each message names the flag."""
    for name in REFUSED:
        if getattr(options, name) not in (None, "", *_FALSE):
            parser.error(f"--{name} is not supported. To use it, run TensorFlow Serving")
    if not options.port and not options.grpc_socket_path and not options.rest_api_port:
        parser.error("set --port or --rest_api_port: there is nothing to listen on")
    if options.port and options.port == options.rest_api_port:
        parser.error(f"--port and --rest_api_port must be different ports (got {options.port} for both)")
    if not options.model_base_path and not options.model_config_file:
        parser.error("set --model_base_path or --model_config_file")
    if options.batching_parameters_file and not options.enable_batching:
        parser.error("--batching_parameters_file is set without --enable_batching")
    for flag in (*SERVED, *ADDED):
        value = getattr(options, flag.name)
        may_be_negative = isinstance(value, str | bool) or flag.name == "load_retry_interval_micros"
        if not may_be_negative and value < 0:
            parser.error(f"--{flag.name} must not be negative (got {value})")
    if bool(options.rest_ssl_cert_file) != bool(options.rest_ssl_key_file):
        parser.error("set both --rest_ssl_cert_file and --rest_ssl_key_file, or neither")
    for name in _FILES:
        if getattr(options, name) and not Path(getattr(options, name)).is_file():
            parser.error(f"--{name} {getattr(options, name)}: no such file")


def ignored(options: argparse.Namespace) -> list[str]:
    """Returns the given flags that have no effect on this server."""
    return [name for name in IGNORED if getattr(options, name) is not None]
