"""Servers that only answer: what HTTP and gRPC cost without a model.

python -m benchmarks.bare_server rest|grpc PORT ANSWER
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def _rest(port: int, answer: bytes) -> None:
    import uvicorn

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    uvicorn.run(application, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off", ws="none")


def _grpc(port: int, answer: bytes) -> None:
    import grpc

    method = grpc.unary_unary_rpc_method_handler(lambda request, context: answer)
    server = grpc.server(ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare.Server", {"Answer": method}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    protocol, port, answer = sys.argv[1:]
    (_rest if protocol == "rest" else _grpc)(int(port), answer.encode())
