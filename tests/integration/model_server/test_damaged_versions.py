"""A version whose files changed after it was published is not served. The newest whole version is."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.pusher.local import LocalVersions
from errors import ModelNotFound
from serving.local_model import LocalModel
from tests.integration.model_server import running
from tests.integration.model_server.saved_models import write_half
from tests.unit.trainer.planted_model import Planted


@pytest.fixture
def served(tmp_path: Path) -> Path:
    versions = LocalVersions(str(tmp_path / "serving"), "films")
    for number, offset in enumerate((3.0, 4.0), 1):
        assert versions.publish(str(write_half(tmp_path / f"model-{number}", offset))) == number
    return tmp_path / "serving"


def _variables(version: Path) -> Path:
    return version / "variables" / "variables.data-00000-of-00001"


def test_newest_whole_version_is_served(served: Path) -> None:
    whole = _variables(served / "2").read_bytes()
    _variables(served / "2").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    flags = [f"--model_base_path={served}", "--model_name=half", "--file_system_poll_wait_seconds=0.1"]
    with running.here(*flags) as client:
        assert client.post("half:predict", {"instances": [8]}) == (200, {"predictions": [7.0]})
        states = client.states("half")
        assert states[1][0] == "AVAILABLE"
        assert states[2][0] == "END"
        assert "variables.data-00000-of-00001 is missing or changed" in states[2][1]
        _variables(served / "2").write_bytes(whole)  # a copy was restored
        client.wait("half", 2, "AVAILABLE")
        client.wait("half", 1, "END")
        assert client.post("half:predict", {"instances": [8]}) == (200, {"predictions": [8.0]})


def test_nothing_whole_is_reported(served: Path) -> None:
    for number in "12":
        (served / number / "saved_model.pb").write_bytes(b"")
    flags = [f"--model_base_path={served}", "--model_name=half", "--file_system_poll_wait_seconds=0.1"]
    with running.here(*flags) as client:
        assert client.post("half:predict", {"instances": [8]})[0] == 404
        assert all("saved_model.pb" in message for _, message in client.states("half").values())


def test_commands_name_the_damaged_file(planted: Planted, tmp_path: Path) -> None:
    versions = LocalVersions(str(tmp_path), "words")
    versions.publish(str(planted.model))
    assert versions.newest_if_same(str(planted.model)) == 1
    (tmp_path / "1" / "assets" / "left").write_bytes(b"")
    with pytest.raises(ModelNotFound, match="the file assets/left is missing or changed since"):
        LocalModel(tmp_path / "1")
    assert versions.damage(1) == "assets/left"
    assert versions.newest_if_same(str(planted.model)) is None, "a whole version is published next"
