"""The gRPC server: its threads, limits and services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import grpc

from serving.model_server.calls import Limits
from serving.model_server.faults import Fault
from serving.model_server.health import Health, no_profiler
from serving.model_server.rpc import Answer, status_of


def build(
    answers: Mapping[str, Answer],
    threads: Executor,
    limits: Limits,
    options: list[tuple[str, Any]],
    health: Health | None = None,
    interceptors: Sequence[grpc.ServerInterceptor] = (),
) -> grpc.Server:
    """Builds a server with all services, without binding a port.

    Args:
      answers: the methods by path.
      threads: run them.
      limits: those of the server.
      options: channel arguments.
      health: the health service, or None.
      interceptors: of all calls.
    """
    server = grpc.server(
        threads,
        maximum_concurrent_rpcs=limits.max_concurrency,
        interceptors=interceptors,
        options=[
            ("grpc.max_receive_message_length", limits.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            *options,
        ],
    )
    handlers = [_Handlers(answers), no_profiler()]
    server.add_generic_rpc_handlers([*handlers, health.handler()] if health else handlers)
    return server


class _Handlers(grpc.GenericRpcHandler):
    """Answers calls in threads of grpcio."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._handlers = {
            path: grpc.unary_unary_rpc_method_handler(_behavior(answer)) for path, answer in answers.items()
        }

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        """Returns the handler of a path, as grpcio asks for."""
        return self._handlers.get(handler_call_details.method)


def _behavior(answer: Answer) -> Callable[[bytes, grpc.ServicerContext], Any]:
    def behavior(body: bytes, context: grpc.ServicerContext) -> Any:
        try:
            return answer(body, context.is_active)
        except Fault as fault:
            context.abort(*status_of(fault))

    return behavior
