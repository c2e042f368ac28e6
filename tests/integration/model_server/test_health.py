"""The health service of gRPC, and the service that is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.integration.model_server import running
from tests.integration.model_server.running import Client


def _method(channel: grpc.Channel, name: str, kind: str = "unary_unary") -> Callable:
    return getattr(channel, kind)(f"/grpc.health.v1.Health/{name}")


def _request(service: str) -> bytes:
    """Returns a HealthCheckRequest, encoded by hand."""
    return b"\x0a" + bytes([len(service)]) + service.encode() if service else b""


SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def test_health_of_the_server_and_its_services(model_folder: Path) -> None:
    flags = [f"--model_base_path={model_folder / 'half'}", "--model_name=half", "--enable_grpc_healthcheck_service"]
    with running.here(*flags) as client, grpc.insecure_channel(f"127.0.0.1:{client.grpc_port}") as channel:
        for service in ("", "ModelService", "PredictionService"):
            assert _method(channel, "Check")(_request(service), timeout=10) == SERVING
        with pytest.raises(grpc.RpcError) as refused:
            _method(channel, "Check")(_request("Other"), timeout=10)
        assert refused.value.code().name == "NOT_FOUND"
        with pytest.raises(grpc.RpcError) as refused:
            _method(channel, "Check")(b"\x0a\x7f", timeout=10)
        assert refused.value.code().name == "INVALID_ARGUMENT"
        unknown = _method(channel, "Watch", "unary_stream")(_request("Other"), timeout=10)
        assert next(unknown) == SERVICE_UNKNOWN
        unknown.cancel()
        watched = _method(channel, "Watch", "unary_stream")(_request(""), timeout=60)
        assert next(watched) == SERVING
        many = [_method(channel, "Watch", "unary_stream")(b"", timeout=30) for _ in range(40)]
        assert client.post("half:predict", {"instances": [8]})[0] == 200
        assert _method(channel, "Check")(b"", timeout=10) == SERVING, "watchers leave threads for others"
        for call in many:
            call.cancel()


def test_health_is_off_by_default(client: Client) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{client.grpc_port}") as channel, pytest.raises(grpc.RpcError) as refused:
        _method(channel, "Check")(b"", timeout=10)
    assert refused.value.code().name == "UNIMPLEMENTED"


def test_profiler_is_refused_clearly(client: Client) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{client.grpc_port}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/tensorflow.ProfilerService/Profile")(b"", timeout=10)
    assert refused.value.code().name == "UNIMPLEMENTED"
    assert "ProfilerService" in refused.value.details()
