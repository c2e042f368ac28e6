"""SIGTERM while the first version loads."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.integration.model_server.running import free_port

# The first load takes a minute. The rest is the command itself.
PROGRAM = """
import sys, time
from serving.model_server import loading
loading.Loader.load = lambda *_: time.sleep(60)
from serving.model_server.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_the_first_load_ends_the_server(tmp_path, number: signal.Signals) -> None:
    (tmp_path / "1").mkdir()
    port = free_port()
    flags = [f"--rest_api_port={port}", f"--port={free_port()}", f"--model_base_path={tmp_path}"]
    server = subprocess.Popen([sys.executable, "-c", PROGRAM, *flags], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        server.send_signal(number)
        assert server.wait(60) == 0
        assert socket.socket().connect_ex(("127.0.0.1", port)) != 0
    finally:
        server.kill()
        server.wait()
