"""The serving image answers, and stops on SIGTERM."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.image import podman
from tests.image.conftest import Images
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

GRACE = 30
"""Seconds. The default terminationGracePeriodSeconds of Kubernetes."""

READY = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8501/v1/models/planted/metadata", timeout=5).status)
"""
ASK = """
import urllib.request
request = urllib.request.Request("http://127.0.0.1:8501/v1/models/planted:predict", {!r}.encode())
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""
ARGUMENTS = ("--model_name=planted", "--model_base_path=/models/published")


@pytest.fixture(scope="module")
def versions(planted: Planted) -> Path:
    return planted.model.parent


@pytest.mark.parametrize("user", ["10001:0", "12345:0"])
def test_server_answers_and_stops_on_sigterm(images: Images, planted: Planted, versions: Path, user: str) -> None:
    start = time.monotonic()
    with podman.Container(images.serving, ARGUMENTS, user=user, mounts={versions: "/models/published"}) as server:
        server.wait_for(READY, 180)
        print(f"\nready after {time.monotonic() - start:.1f} s")
        left, right = [name.decode() for name in LEFT[:3]], [name.decode() for name in RIGHT[:3]]
        body = {"signature_name": "score", "inputs": {"left_id": left, "right_id": right}}
        answer = server.python(ASK.format(json.dumps(body)))
        assert answer is not None, server.log
        assert json.loads(answer)["outputs"]["score"] == pytest.approx(planted.scores().diagonal()[:3], rel=1e-5)
        code, seconds = server.terminate(GRACE)
        print(f"stopped after {seconds:.1f} s")
        assert code == 0 and seconds < GRACE / 2, server.log


def test_sigterm_while_the_server_starts_is_not_lost(images: Images, versions: Path) -> None:
    with podman.Container(images.serving, ARGUMENTS, user="10001:0", mounts={versions: "/models/published"}) as server:
        time.sleep(1)
        code, seconds = server.terminate(GRACE)
        assert code == 0 and seconds < GRACE / 2, server.log


def test_image_without_arguments_prints_help(images: Images) -> None:
    done = podman.run("run", "--rm", *podman.CONFINED, images.serving)
    assert "--model_base_path" in done.stdout
