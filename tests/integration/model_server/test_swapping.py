"""Adding, removing and corrupting versions under load: no request fails, no response is wrong."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.model_server import running
from tests.integration.model_server.running import Client
from tests.integration.model_server.saved_models import write_half

SWAPS, CLIENTS = 100, 8
QUICK = ("--file_system_poll_wait_seconds=0.02", "--load_retry_interval_micros=100000", "--max_num_load_retries=3")


@pytest.fixture(scope="module")
def even_and_odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Models that compute x / 2 and x / 2 + 1, so that an output identifies its model."""
    folder = tmp_path_factory.mktemp("sources")
    return write_half(folder / "even", 0.0), write_half(folder / "odd", 1.0)


def publish(source: Path, base: Path, version: int) -> Path:
    """Publishes a version like the Pusher: stages it, then renames it."""
    base.mkdir(parents=True, exist_ok=True)
    staged = base / f".staging-{version}"
    shutil.copytree(source, staged)
    staged.rename(base / str(version))
    return base / str(version)


@pytest.fixture
def base(tmp_path: Path, even_and_odd: tuple[Path, Path]) -> Path:
    publish(even_and_odd[1], tmp_path / "half", 1)
    return tmp_path / "half"


@pytest.fixture
def served(base: Path) -> Iterator[Client]:
    with running.here(f"--model_base_path={base}", "--model_name=half", *QUICK) as client:
        yield client


class Load:
    """Clients that send requests continuously, each on its own connection, and record the responses."""

    def __init__(self, client: Client) -> None:
        self._client, self._stop = client, threading.Event()
        self.answers: list[tuple[int, float, float, float]] = []  # status, value, start, end
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._client.rest_port, timeout=30)
        while not self._stop.is_set():
            start = time.monotonic()
            try:
                connection.request("POST", "/v1/models/half:predict", b'{"instances": [8]}')
                answer = connection.getresponse()
                content = json.loads(answer.read())
                result = (answer.status, content.get("predictions", [content])[0])
            except OSError as error:
                result = (-1, str(error))
            self.answers.append((*result, start, time.monotonic()))
        connection.close()


def test_hundred_swaps_under_load(served: Client, base: Path, even_and_odd: tuple[Path, Path]) -> None:
    periods: list[tuple[float, float, float]] = []  # start and end of a period, and its only correct value
    with Load(served) as load:
        for version in range(2, SWAPS + 2):
            publish(even_and_odd[version % 2], base, version)
            if version == 30:
                _drop_a_corrupt_version(served, base, even_and_odd[0])
            served.wait("half", version, "AVAILABLE")
            since, before = time.monotonic(), len(load.answers)
            while len(load.answers) < before + CLIENTS:
                time.sleep(0.001)
            periods.append((since, time.monotonic(), 4.0 + version % 2))
            shutil.rmtree(base / str(version - 1), ignore_errors=True)
    assert {status for status, *_ in load.answers} == {200}
    assert {value for _, value, *_ in load.answers} == {4.0, 5.0}
    checked = 0
    for since, until, expected in periods:
        within = [value for _, value, start, end in load.answers if since <= start and end <= until]
        assert set(within) <= {expected}
        checked += len(within)
    assert checked > SWAPS
    states = served.states("half")
    assert [version for version, (state, _) in states.items() if state == "AVAILABLE"] == [SWAPS + 1]


def _drop_a_corrupt_version(served: Client, base: Path, source: Path) -> None:
    corrupt = publish(source, base, 1000)
    (corrupt / "saved_model.pb").write_bytes(b"no model")
    assert "saved_model.pb" in served.wait("half", 1000, "END")
    shutil.rmtree(corrupt)


def _ask(client: Client) -> float:
    status, answer = client.post("half:predict", {"instances": [8]})
    assert status == 200, answer
    return answer["predictions"][0]


def test_corrupt_version_is_reported_and_ignored(served: Client, base: Path, even_and_odd: tuple[Path, Path]) -> None:
    broken = publish(even_and_odd[0], base, 2)
    served.wait("half", 2, "AVAILABLE")
    assert _ask(served) == 4.0
    broken = base / ".staging-3"
    shutil.copytree(even_and_odd[1], broken)
    next((broken / "variables").glob("variables.data*")).write_bytes(b"")
    broken.rename(base / "3")
    reason = served.wait("half", 3, "END")
    assert str(base / "3") in reason and "Read less bytes" in reason
    assert served.states("half")[2][0] == "AVAILABLE"
    assert _ask(served) == 4.0


def test_partial_version_serves_when_complete(served: Client, base: Path, even_and_odd: tuple[Path, Path]) -> None:
    (base / "2" / "variables").mkdir(parents=True)
    assert "saved_model" in served.wait("half", 2, "END").lower()
    assert _ask(served) == 5.0
    shutil.copytree(even_and_odd[0] / "variables", base / "2" / "variables", dirs_exist_ok=True)
    shutil.copytree(even_and_odd[0], base / "2", dirs_exist_ok=True)
    served.wait("half", 2, "AVAILABLE")
    assert _ask(served) == 4.0


def test_removed_version_serves_until_replaced(served: Client, base: Path, even_and_odd: tuple[Path, Path]) -> None:
    publish(even_and_odd[0], base, 2)
    served.wait("half", 2, "AVAILABLE")
    served.wait("half", 1, "END")
    with Load(served) as load:
        os.rename(base / "2", base / ".gone")
        served.wait("half", 1, "AVAILABLE")
        served.wait("half", 2, "END")
    assert {status for status, *_ in load.answers} == {200}
    assert _ask(served) == 5.0


def test_unreadable_base_path_changes_nothing(served: Client, base: Path) -> None:
    os.rename(base, base.with_name("elsewhere"))
    time.sleep(0.2)
    assert _ask(served) == 5.0
    os.rename(base.with_name("elsewhere"), base)


def test_model_without_versions_is_not_found(served: Client, base: Path) -> None:
    shutil.rmtree(base / "1")
    served.wait("half", 1, "END")
    assert served.post("half:predict", {"instances": [8]})[0] == 404
    assert served.get("/half/metadata")[0] == 404


def test_version_number_is_reusable(served: Client, base: Path, even_and_odd: tuple[Path, Path]) -> None:
    shutil.rmtree(base / "1")
    served.wait("half", 1, "END")
    publish(even_and_odd[0], base, 1)
    served.wait("half", 1, "AVAILABLE")
    assert _ask(served) == 4.0


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", {12}),
        ("latest {}", {12}),
        ("latest { num_versions: 2 }", {3, 12}),
        ("latest { num_versions: 9 }", {1, 2, 3, 12}),
        ("all {}", {1, 2, 3, 12}),
        ("specific { versions: 2 }", {2}),
        ("specific { versions: 1 versions: 3 versions: 77 }", {1, 3}),
    ],
)
def test_version_policies(base: Path, even_and_odd: tuple[Path, Path], tmp_path: Path, policy: str, expected: set[int]):
    for version in (2, 3, 12):
        publish(even_and_odd[version % 2], base, version)
    for name in (".staging-99", "99.old", "-5", "notes"):
        (base / name).mkdir()
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "half" base_path: "{base}" model_platform: "tensorflow" '
        f"model_version_policy {{ {policy} }} }} }}"
    )
    with running.here(f"--model_config_file={config}", *QUICK) as client:
        assert {version for version, (state, _) in client.states("half").items() if state == "AVAILABLE"} == expected
        for version in (1, 2, 3, 12):
            status, _ = client.post(f"half/versions/{version}:predict", {"instances": [1]})
            assert status == (200 if version in expected else 404)
