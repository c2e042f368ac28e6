"""The command line: tensorflow_model_server's own flags, and a few of ours. Needs nothing but Python."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_TRUE, _FALSE = ("true", "1", "t", "yes"), ("false", "0", "f", "no")


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag with its default, which also says its type."""

    name: str
    default: Any
    help: str


SERVED = (
    Flag("port", 8500, "TCP port of gRPC; 0: none."),
    Flag("grpc_socket_path", "", "A UNIX socket for gRPC."),
    Flag("rest_api_port", 0, "TCP port of REST; 0: none."),
    Flag("rest_api_num_threads", 0, "Threads that answer REST; 0: by the number of processors."),
    Flag("rest_api_timeout_in_ms", 30_000, "Time in which a REST call is answered."),
    Flag("rest_api_enable_cors_support", False, "Send CORS headers."),
    Flag("enable_batching", False, "Merge requests into batches."),
    Flag("batching_parameters_file", "", "An ascii BatchingParameters file."),
    Flag("model_config_file", "", "An ascii ModelServerConfig of several models, in place of the next two."),
    Flag("model_config_file_poll_wait_seconds", 0, "How often to read it again; 0: once."),
    Flag("model_name", "default", "The name of the one model."),
    Flag("model_base_path", "", "The directory of its versions."),
    Flag("num_load_threads", 0, "Threads that load models."),
    Flag("max_num_load_retries", 5, "How often a broken version is tried again."),
    Flag("load_retry_interval_micros", 60_000_000, "Time between two tries."),
    Flag("file_system_poll_wait_seconds", 1.0, "How often to look for versions; 0: once."),
    Flag("allow_version_labels_for_unavailable_models", False, "A new label may name a version not yet there."),
    Flag("tensorflow_session_parallelism", 0, "Threads of both kinds below."),
    Flag("tensorflow_intra_op_parallelism", 0, "Threads within an operation; 0: TensorFlow's choice."),
    Flag("tensorflow_inter_op_parallelism", 0, "Threads between operations; 0: TensorFlow's choice."),
    Flag("ssl_config_file", "", "An ascii SSLConfig file: gRPC over TLS."),
    Flag("saved_model_tags", "serve", "Tags of the graph to load, with commas between."),
    Flag("grpc_channel_arguments", "", "name=value pairs with commas between."),
    Flag("grpc_max_threads", 0, "Threads that answer gRPC; 0: by the number of processors."),
    Flag("enable_model_warmup", True, "Replay the requests that a version carries before it serves."),
    Flag("num_request_iterations_for_warmup", 0, "How often each."),
    Flag("monitoring_config_file", "", "An ascii MonitoringConfig file: Prometheus metrics."),
    Flag("enable_signature_method_name_check", False, "Classify and regress only by signatures made for them."),
    Flag("enable_serialization_as_tensor_content", False, "Pack the numbers of gRPC answers."),
)
# What has no meaning here, and harms nobody by being given.
IGNORED = (
    "num_unload_threads", "flush_filesystem_caches", "per_process_gpu_memory_fraction", "enable_profiler",
    "remove_unused_fields_from_bundle_metagraph", "xla_cpu_compilation_enabled", "xla_gpu_compilation_enabled",
    "skip_initialize_tpu", "num_tflite_pools", "num_tflite_interpreters_per_pool", "mixed_precision",
    "enable_per_model_batching_parameters", "enable_grpc_healthcheck_service",
)  # fmt: skip
# What would be served otherwise than asked for: refused.
REFUSED = (
    "use_alts_credentials", "platform_config_file", "tensorflow_session_config_file", "prefer_tflite_model",
    "thread_pool_factory_config_file",
)  # fmt: skip
OURS = (
    Flag("host", "127.0.0.1", "The address to listen on; 0.0.0.0: every one."),
    Flag("max_body_bytes", 64 << 20, "A larger request is refused."),
    Flag("max_batch_rows", 100_000, "A request of more rows is refused."),
    Flag("max_concurrent_requests", 256, "More requests at once are refused."),
    Flag("drain_seconds", 30.0, "On SIGTERM, time for the requests that are being answered."),
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags in `arguments`, given as `--name=value`, `--name value`, or `--name` for a switch.

    A wrong flag ends the process with exit code 2 and a sentence.
    """
    parser = argparse.ArgumentParser(
        prog="kindred-model-server",
        description="TensorFlow Serving's public contract on the installed TensorFlow.",
        allow_abbrev=False,
    )
    for title, flags in (("flags of tensorflow_model_server", SERVED), ("flags of ours", OURS)):
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)
    for name in (*IGNORED, *REFUSED):
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", help="Say the versions, and end.")
    found = parser.parse_args(arguments)
    if not found.version:
        _check(parser, found)
    return found


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


def _check(parser: argparse.ArgumentParser, found: argparse.Namespace) -> None:
    """Refuses what cannot be served, each with the flag to mend."""
    for name in REFUSED:
        if getattr(found, name) not in (None, "", *_FALSE):
            parser.error(f"--{name} is not supported; production TensorFlow Serving is")
    if not found.port and not found.grpc_socket_path and not found.rest_api_port:
        parser.error("neither --port nor --rest_api_port is set: there is nothing to listen on")
    if found.port and found.port == found.rest_api_port:
        parser.error(f"--port and --rest_api_port must be different ports (got {found.port} for both)")
    if not found.model_base_path and not found.model_config_file:
        parser.error("one of --model_base_path and --model_config_file is needed")
    if found.batching_parameters_file and not found.enable_batching:
        parser.error("--batching_parameters_file is set without --enable_batching")
    for flag in (*SERVED, *OURS):
        value = getattr(found, flag.name)
        may_be_negative = isinstance(value, str | bool) or flag.name == "load_retry_interval_micros"
        if not may_be_negative and value < 0:
            parser.error(f"--{flag.name} must not be negative (got {value})")
    for name in ("model_config_file", "batching_parameters_file", "monitoring_config_file", "ssl_config_file"):
        if getattr(found, name) and not Path(getattr(found, name)).is_file():
            parser.error(f"--{name} {getattr(found, name)}: no such file")


def ignored(found: argparse.Namespace) -> list[str]:
    """The flags that were given and mean nothing here."""
    return [name for name in IGNORED if getattr(found, name) is not None]
