"""The canary against real servers: it passes what is right and refuses what is not."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components.serving_canary import executor as module
from components.serving_canary import probe, server
from components.serving_canary.executor import Executor, eval_pairs
from components.serving_canary.probe import ProbePairs
from components.serving_canary.server import ServerFailed
from components.serving_canary.settings import CanarySettings
from errors import ModelRefused
from tests import written_examples
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted
from trainer.export.tables import Tables, read_tables

pytestmark = pytest.mark.tensorflow
AHEAD = pytest.mark.skipif(not server._tie(), reason="there is no setpriv here: no server is started ahead")

ROWS = [(left, right, 1.0) for left in LEFT[:3] for right in RIGHT[:2]]


@pytest.fixture
def run(tmp_path: Path, planted: Planted):
    """Runs the executor on a model; the blessing artifact."""

    def execute(
        model: Path = planted.model, rows: list = ROWS, blessed: int = 1, **settings: object
    ) -> standard_artifacts.InfraBlessing:
        examples, blessing = standard_artifacts.Examples(), standard_artifacts.ModelBlessing()
        examples.uri, blessing.uri = str(tmp_path / "examples"), str(tmp_path / "evaluation")
        written_examples.write(tmp_path / "examples", [(LEFT[0], RIGHT[0], 1.0)], rows)
        blessing.set_int_custom_property("blessed", blessed)
        trained, output = standard_artifacts.Model(), standard_artifacts.InfraBlessing()
        trained.uri, output.uri = str(tmp_path / "trained"), str(tmp_path / "canary")
        shutil.copytree(model, tmp_path / "trained" / "Format-Serving", dirs_exist_ok=True)
        inputs = {"model": [trained], "examples": [examples], "model_blessing": [blessing]}
        properties = {"settings": CanarySettings(**settings).model_dump_json()}
        Executor().Do(inputs, {"blessing": [output]}, properties)
        return output

    return execute


def test_a_model_that_serves_what_it_learned_is_blessed(run) -> None:
    output = run(rows=ROWS, max_p99_ms=10_000.0)
    assert output.get_int_custom_property("blessed") == 1
    report = json.loads(Path(output.uri, module.REPORT_FILE).read_text())
    assert report["tested"][-1] == "evaluated scores, 6 eval rows"
    signatures = {line.split(",")[0] for line in report["tested"][:-1]}
    assert signatures == {
        "serving_default", "evaluate", "score", "similar_left", "similar_right", "similar_left_filtered",
        "similar_right_filtered", "neighbors_left", "neighbors_right", "embed_left", "embed_right",
        "recommend_left", "recommend_right", "embed_left_from", "embed_right_from",
        "similar_left_approximate", "similar_right_approximate", "neighbors_left_approximate",
        "neighbors_right_approximate",
    }  # fmt: skip
    assert len(report["tested"]) == 2 * len(signatures) + 1
    assert {line.split(", ")[1] for line in report["tested"]} == {"6 eval rows", "unknown ids"}
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]


def test_a_model_that_serves_other_scores_is_refused(run, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = probe.Trained.predict

    def other(trained: probe.Trained, signature: str, inputs: dict) -> dict:
        answer = predict(trained, signature, inputs)
        if signature == "score":
            answer["score"] = answer["score"] + 3e-5 * (1 + abs(answer["score"]))
        return answer

    monkeypatch.setattr(probe.Trained, "predict", other)
    with pytest.raises(ModelRefused, match=r"score, 6 eval rows: score is .* off by more than 1e-05") as refused:
        run()
    assert refused.value.exit_code == 4
    assert "neighbors" not in str(refused.value) and "was not published" in str(refused.value)


@pytest.mark.parametrize("changed", [{"offset": 1e-3}, {"known": False}], ids=str)
def test_a_model_with_other_tables_than_it_serves_is_refused(
    run, monkeypatch: pytest.MonkeyPatch, changed: dict[str, float]
) -> None:
    def other_tables(path: str) -> Tables:
        tables = read_tables(path)
        if "offset" in changed:
            return dataclasses.replace(tables, offset=tables.offset + changed["offset"])
        ids = pa.array([b"other " + name for name in tables.left.ids.to_pylist()], tables.left.ids.type)
        return dataclasses.replace(tables, left=dataclasses.replace(tables.left, ids=ids))

    monkeypatch.setattr(module, "read_tables", other_tables)
    fault = r"score is .* off by more than 1e-05" if "offset" in changed else r"(score|known) "
    with pytest.raises(ModelRefused, match=f"evaluated scores, 6 eval rows: {fault}") as refused:
        run()
    assert len(str(refused.value).splitlines()) == 3  # nothing else is refused


def test_a_model_that_is_too_slow_is_refused(run) -> None:
    with pytest.raises(ModelRefused, match=r"p99 of 200 requests is .* ms, above 0.001"):
        run(max_p99_ms=0.001)


def test_a_model_that_does_not_load_is_refused_with_the_servers_words(run, planted: Planted, tmp_path: Path) -> None:
    warmup = Path("assets.extra", "tf_serving_warmup_requests")
    broken = tmp_path / "broken"
    shutil.copytree(planted.model, broken)
    (broken / warmup).write_bytes(b"no records" * 10)
    with pytest.raises(ModelRefused, match=r"start: .*cannot be served"):
        run(model=broken)


@pytest.mark.parametrize(
    ("binary", "words"),
    [("/no/such/server", "start: .*/no/such/server"), ("/bin/false", "the server ended with exit code 1")],
)
def test_a_server_that_cannot_be_started_is_refused(
    run, monkeypatch: pytest.MonkeyPatch, binary: str, words: str
) -> None:
    monkeypatch.setattr("components.serving_canary.server.serving_binary", lambda: binary)
    with pytest.raises(ModelRefused, match=words):
        run()


@AHEAD
def test_a_server_started_ahead_is_the_one_that_serves(planted: Planted) -> None:
    with server.started_ahead():
        (process,) = server._ahead
        with server.serving(str(planted.model), 60) as served:
            assert served.signatures()
            assert not server._ahead
            assert process.exit_code is None
    assert process.exit_code is not None
    assert not Path(process._folder).exists()


@AHEAD
def test_a_model_given_ahead_is_loaded_before_anybody_asks(planted: Planted) -> None:
    with server.started_ahead(), server.started_ahead() as give:
        (process,) = server._ahead
        give(str(planted.model))
        asked = server.Server(process.rest_port)
        deadline = time.monotonic() + 60
        while asked.signatures() is None:
            assert time.monotonic() < deadline, process.last_words
            time.sleep(0.05)
        asked.close()
        with server.serving(str(planted.model), 60) as served:
            assert served.signatures()
            assert process.exit_code is None


@AHEAD
def test_a_server_with_another_model_is_not_the_one_that_serves(planted: Planted, tmp_path: Path) -> None:
    with server.started_ahead() as give:
        (process,) = server._ahead
        give(str(tmp_path))
        with server.serving(str(planted.model), 60) as served:
            assert process.exit_code is not None
            assert served.signatures()


@AHEAD
def test_a_model_that_cannot_be_given_ahead_is_given_to_a_server_of_its_own(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, model: str) -> None:
        raise OSError("no space left")

    with server.started_ahead() as give:
        (process,) = server._ahead
        with monkeypatch.context() as patched:
            patched.setattr(server._Process, "give", full)
            give(str(planted.model))
        assert process.exit_code is not None
        with server.serving(str(planted.model), 60) as served:
            assert served.signatures()


@AHEAD
def test_a_server_started_ahead_for_nothing_is_stopped() -> None:
    with contextlib.suppress(KeyboardInterrupt), server.started_ahead():
        (process,) = server._ahead
        raise KeyboardInterrupt
    assert process.exit_code is not None
    assert not server._ahead
    assert not Path(process._folder).exists()


@AHEAD
def test_a_server_does_not_outlive_a_killed_run() -> None:
    script = (
        "import os, psutil, signal, time\n"
        "from components.serving_canary import server\n"
        "with server.started_ahead():\n"
        "    process = psutil.Process(server._ahead[0]._process.pid)\n"
        # The command line is empty while a process replaces its program.
        "    while 'setpriv' in (process.cmdline() or ['setpriv'])[0]: time.sleep(0.01)\n"
        "    print(server._ahead[0]._process.pid, server._ahead[0]._folder, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    pid, folder = killed.stdout.split()
    shutil.rmtree(folder)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server still runs"
        time.sleep(0.05)


@AHEAD
def test_a_server_that_ended_ahead_is_started_anew(planted: Planted) -> None:
    with server.started_ahead():
        (process,) = server._ahead
        process._process.kill()
        process._process.wait()
        with server.serving(str(planted.model), 60) as served:
            assert served.signatures()
    assert not Path(process._folder).exists()


def test_a_binary_that_is_not_there_fails_nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.serving_canary.server.serving_binary", lambda: "/no/such/server")
    with server.started_ahead() as give:
        assert not server._ahead
        give("a model")


def test_nothing_to_ask_with_is_no_pass(run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelRefused, match=r"no pairs to send: .* has no rows"):
        run(rows=[])


def test_a_model_the_evaluator_refused_is_not_even_started(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "serving", lambda *_: pytest.fail("started"))
    assert run(blessed=0).get_int_custom_property("blessed") == 0


def test_only_as_many_rows_as_asked_for(tmp_path: Path) -> None:
    written_examples.write(tmp_path, [], ROWS)
    assert eval_pairs(str(tmp_path), 4) == ProbePairs([row[0] for row in ROWS[:4]], [row[1] for row in ROWS[:4]])
    assert len(eval_pairs(str(tmp_path), 99).left) == len(ROWS)


class _Trained:
    """A trained model with one signature that always answers 1."""

    def __init__(self, inputs: list[str]) -> None:
        self.inputs = {"x": inputs}

    def predict(self, *_: object) -> dict:
        return {"score": tf.constant([[1.0]]).numpy()}


class _Server:
    """A server whose only signature always gives the same answer, or raises it."""

    def __init__(self, answer: object, signature: str = "x") -> None:
        self._answer, self._signature = answer, signature

    def signatures(self) -> dict:
        return {self._signature: {}, "__saved_model_init_op": {}}

    def predict(self, *_: object) -> object:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def found(trained: _Trained, server: _Server) -> list[probe.Finding]:
    with ThreadPoolExecutor() as threads:
        requests = probe.requests(trained, ProbePairs([b"a"], [b"b"]), 1, threads)
        return list(probe.check_signatures(server, requests))


@pytest.mark.parametrize(
    ("inputs", "answer", "fault"),
    [
        (["left_id", "weather"], {}, "no value for the inputs weather"),
        (["left_id", "k"], ServerFailed("status 400: no"), "status 400: no"),
        (["left_id", "k"], {"score": [[1.0]], "more": [1]}, r"the outputs are \['more', 'score'\]"),
        (["left_id", "k"], {"score": [[float("nan")]]}, "score is not a finite number"),
        (["left_id", "k"], {"score": [[1.0, 2.0]]}, r"score has shape \[1, 2\]"),
        (["left_id", "k"], {"": [[1.1]]}, "score is 1.1, but 1 in the trained model"),
    ],
    ids=str,
)
def test_whatever_is_wrong_is_said(inputs: list[str], answer: object, fault: str) -> None:
    findings = found(_Trained(inputs), _Server(answer))
    assert len(findings) == 2
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(findings[0].fault)


def test_a_server_with_other_signatures_is_refused() -> None:
    signatures, *replies = found(_Trained(["left_id"]), _Server({"score": [[1.0]]}, "y"))
    assert signatures.fault == "the server has ['y'], but the trained model has ['x']"
    assert [finding.fault for finding in replies] == [None, None]


def test_a_model_without_signatures_is_no_pass() -> None:
    with pytest.raises(ModelRefused, match="nothing was tested"):
        module._judge([], None, CanarySettings())


def test_approximate_ranking_is_timed() -> None:
    asked = []

    class Counting(_Server):
        def predict(self, signature: str, inputs: dict) -> dict:
            asked.append((signature, sorted(inputs)))
            return {}

    pairs = ProbePairs([b"a"], [b"b"])
    probe.time_requests(Counting({}), pairs, ["score", "similar_right", "similar_right_approximate"])
    score, exact = ("score", ["left_id", "right_id"]), ("similar_right", ["k", "left_id"])
    assert asked[:3] == [score, exact, ("similar_right_approximate", ["k", "left_id", "probes"])]
    asked.clear()
    probe.time_requests(Counting({}), pairs, ["score", "similar_right"])
    assert asked[:3] == [score, exact, score]
