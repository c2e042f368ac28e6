"""`kindred score` and `kindred similar` over REST and gRPC, and the examples of docs/serving.md."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from errors import EndpointError
from pipeline import cli
from serving.answers import Neighbor
from serving.endpoint import Endpoint
from serving.local_model import LocalModel
from serving.model_server import outputs
from tests.integration.model_server import running
from tests.integration.model_server.running import Client
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def served(planted: Planted) -> Iterator[Client]:
    with running.here(f"--model_base_path={planted.model.parent}", "--model_name=words") as client:
        yield client


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, served: Client) -> str:
    if request.param == "http":
        return f"http://127.0.0.1:{served.rest_port}/v1/models/words"
    return f"grpc://127.0.0.1:{served.grpc_port}/words"


def test_endpoint_matches_local_model(planted: Planted, url: str) -> None:
    here, there = LocalModel(planted.model), Endpoint(url)
    for left, right in ((LEFT[0], RIGHT[0]), (LEFT[2], RIGHT[3]), (b"\xff\x00", RIGHT[1]), (b"", b"never seen")):
        actual, expected = there.score(left, right), here.score(left, right)
        assert actual.score == pytest.approx(expected.score, abs=1e-6)
        assert (actual.left_known, actual.right_known) == (expected.left_known, expected.right_known)
        assert actual.value == pytest.approx(expected.value, abs=1e-4)
    for side, query in (("right", LEFT[2]), ("left", RIGHT[3]), ("right", b"\xff never seen")):
        for k in (0, 3, 99):
            _assert_same(there.similar(side, query, k), here.similar(side, query, k))
        exclude = [RIGHT[1], LEFT[1], b"\xff"]
        _assert_same(there.similar(side, query, 3, exclude), here.similar(side, query, 3, exclude))
        _assert_same(there.neighbors(side, query, 3), here.neighbors(side, query, 3))


def _assert_same(actual: tuple[list[Neighbor], bool], expected: tuple[list[Neighbor], bool]) -> None:
    assert [neighbor.id for neighbor in actual[0]] == [neighbor.id for neighbor in expected[0]]
    assert [neighbor.score for neighbor in actual[0]] == pytest.approx([n.score for n in expected[0]], abs=1e-6)
    assert actual[1] is expected[1]


def test_one_call_serves_many_users(planted: Planted, url: str) -> None:
    """Each row has its own list of exclusions, in one request over either transport."""
    endpoint, single = Endpoint(url), LocalModel(planted.model)
    lists = [[RIGHT[0], RIGHT[1]], [RIGHT[3], b""], [b"", b""]]
    inputs = {"left_id": LEFT[:3], "k": 4, "exclude": lists, "candidates": []}
    answer = endpoint.predict("similar_right_filtered", inputs)
    for i, exclude in enumerate(lists):
        expected, _ = single.similar("right", LEFT[i], 4, exclude)
        assert answer["right_id"][i] == [neighbor.id for neighbor in expected]
    with pytest.raises(EndpointError, match=r"(?s)exclude must be one list of ids.*(status 400|INVALID_ARGUMENT)"):
        endpoint.predict("similar_right_filtered", inputs | {"left_id": LEFT[:2]})


def test_large_request_with_lists_is_computed_in_pieces(
    planted: Planted, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"left_id": LEFT * 3, "k": 4, "exclude": [[name] for name in RIGHT[:3] * len(LEFT)], "candidates": []}
    whole = Endpoint(url).predict("similar_right_filtered", inputs)
    monkeypatch.setattr(outputs, "_SCORES_AT_A_TIME", 3 * len(RIGHT))
    parts = Endpoint(url).predict("similar_right_filtered", inputs)
    assert parts["right_id"] == whole["right_id"] and parts["known"] == whole["known"]
    assert parts["score"] == [pytest.approx(row, abs=1e-6) for row in whole["score"]]
    # More exclusions than rows are no rows.
    few = {"left_id": LEFT[:1], "k": 4, "exclude": RIGHT[:3], "candidates": []}
    assert len(Endpoint(url).predict("similar_right_filtered", few)["right_id"][0]) == 4


def test_unseen_entities_are_the_same_everywhere(planted: Planted, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = LocalModel(planted.model), Endpoint(url)
    _assert_same(there.recommend("right", RIGHT[:2], 3), here.recommend("right", RIGHT[:2], 3))
    inputs = {"given_id": [[name, b""] for name in LEFT], "given_score": [[105.0, 0.0]] * len(LEFT)}
    expected = here.predict("embed_right_from", inputs)
    for pieces in (64, 2):
        monkeypatch.setattr(outputs, "_UNSEEN_AT_A_TIME", pieces)
        actual = there.predict("embed_right_from", inputs)
        assert actual["known"] == expected["known"] and actual["bias"] == pytest.approx(expected["bias"], abs=1e-5)
        assert actual["embedding"] == [pytest.approx(row, abs=1e-5) for row in expected["embedding"]]
    with pytest.raises(EndpointError, match=r"(?s)a score for each given_id.*(status 400|INVALID_ARGUMENT)"):
        there.predict("embed_right_from", inputs | {"given_score": [[1.0]]})


@pytest.mark.parametrize(
    "changed",
    [
        {"given_id": ["lock"]},
        {"given_id": "lock"},
        {"given_id": [[["lock"]]]},
        {"given_id": [[]], "given_score": [[1.0]]},
        {"given_score": 1.0},
        {"given_score": [[1.0, 2.0]]},
        {"given_score": ["lock"]},
        {"given_id": [["lock"], ["lock", "thread"]]},
    ],
    ids=str,
)
def test_wrong_lists_of_unseen_entities_are_refused(served: Client, changed: dict) -> None:
    inputs = {"given_id": [["lock"]], "given_score": [], "k": 2}
    for signature in ("recommend_right", "embed_left_from"):
        names = inputs.keys() if signature == "recommend_right" else ("given_id", "given_score")
        sent = {name: (inputs | changed)[name] for name in names}
        status, answer = served.post("words:predict", {"signature_name": signature, "inputs": sent})
        assert status == 400 and "Traceback" not in answer["error"], answer


def test_unequal_numbers_of_ids_are_refused(url: str) -> None:
    with pytest.raises(EndpointError, match=r"(?s)must have the same number of ids.*(status 400|INVALID_ARGUMENT)"):
        Endpoint(url).predict("score", {"left_id": LEFT[:2], "right_id": RIGHT[:1]})


def test_binary_ids_round_trip(served: Client) -> None:
    """The server writes ids that are not valid text as base64, and the client decodes them."""
    from serving.endpoint import _ids

    assert _ids([["plain", {"b64": "/wA="}], ["naïve", "🎬"]]) == [
        [b"plain", b"\xff\x00"],
        ["naïve".encode(), "🎬".encode()],
    ]


def test_commands_call_endpoints(
    url: str, planted: Planted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kindred", "score", "--endpoint", url, "plain", "lock"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    expected = planted.scores()[0, 0]
    assert (ended.value.code or 0) == 0
    assert f"{expected:+.4f}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["kindred", "similar", "--endpoint", url, "plain", "-k", "2"])
    with pytest.raises(SystemExit):
        cli.main()
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("localhost:8501", "must have the form http://HOST:PORT"),
        ("ftp://x", "must have the form"),
        ("http://127.0.0.1:1/v1/models/x", "no answer"),
        ("grpc://127.0.0.1:1/x", "UNAVAILABLE"),
        ("http://127.0.0.1:{rest}/v1/models/none", "Servable not found for request: Latest(none) (status 404)"),
        ("http://127.0.0.1:{rest}", "Latest(default)"),
        ("http://127.0.0.1:{rest}/elsewhere", "status 404"),
        ("grpc://127.0.0.1:{grpc}/none", "Servable not found for request: Latest(none) (NOT_FOUND)"),
    ],
)
def test_endpoint_failure_is_reported(served: Client, form: str, words: str) -> None:
    url = form.format(rest=served.rest_port, grpc=served.grpc_port)
    with pytest.raises(EndpointError) as refused:
        Endpoint(url).score(b"a", b"b")
    assert str(refused.value).startswith(f"--endpoint {url}: ") and words in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("arguments", [[], ["--model", "m", "--endpoint", "http://x"]])
def test_model_and_endpoint_are_exclusive(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kindred", "score", *arguments, "a", "b"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "give exactly one of them" in capsys.readouterr().err


# The examples of docs/serving.md. Only the ports are replaced.
EXAMPLES = re.findall(
    r"```console\n\$ ((?:curl|grpcurl) .*?)\n```", (ROOT / "docs" / "serving.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_documentation_has_both_protocols() -> None:
    assert sum(example.startswith("curl") for example in EXAMPLES) >= 4
    assert sum(example.startswith("grpcurl") for example in EXAMPLES) >= 3


@pytest.mark.parametrize("example", EXAMPLES)
def test_documented_commands_work(served: Client, example: str, tmp_path: Path) -> None:
    command, expected = _command(example, served)
    if command[0] == "curl":
        if shutil.which("curl") is None:
            pytest.skip("curl is not on PATH")
        done = subprocess.run([*command, "--silent", "--fail-with-body"], capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
    else:
        answer = _grpcurl(command, served, tmp_path)
    assert set(answer) == set(json.loads(expected)), "the response has the documented keys"


def _command(example: str, served: Client) -> tuple[list[str], str]:
    """Splits an example into the command-line arguments and the documented response."""
    command, answer = example.rsplit("\n", 1)
    text = command.replace("\\\n", " ")
    text = text.replace("localhost:8501", f"127.0.0.1:{served.rest_port}")
    text = text.replace("localhost:8500", f"127.0.0.1:{served.grpc_port}")
    return shlex.split(text.replace("word-pairs", "words")), answer


_CALLS = {
    "Predict": ("prediction", predict_pb2.PredictRequest),
    "GetModelMetadata": ("prediction", get_model_metadata_pb2.GetModelMetadataRequest),
    "GetModelStatus": ("models", get_model_status_pb2.GetModelStatusRequest),
}


def _grpcurl(command: list[str], served: Client, tmp_path: Path) -> dict:
    """Runs grpcurl, or does the same conversion and call in Python if it is not on PATH."""
    protoset = tmp_path / "serving.protoset"
    subprocess.run([sys.executable, "-m", "serving.protoset", str(protoset)], check=True, cwd=ROOT)
    assert protoset.stat().st_size > 10_000
    if shutil.which("grpcurl"):
        words = [str(protoset) if word == "serving.protoset" else word for word in command]
        return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    stub, kind = _CALLS[command[-1].rsplit("/", 1)[1]]
    request = json_format.Parse(command[command.index("-d") + 1], kind())
    answer = getattr(getattr(served, stub), command[-1].rsplit("/", 1)[1])(request)
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)  # as grpcurl does with a protoset


def test_protoset_describes_both_services(tmp_path: Path) -> None:
    from google.protobuf import descriptor_pb2

    from serving.protoset import main

    main([str(tmp_path / "out")])
    found = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "out").read_bytes())
    names = [file.name for file in found.file]
    services = {service.name for file in found.file for service in file.service}
    assert {"PredictionService", "ModelService"} <= services
    seen: set[str] = set()
    for file in found.file:
        assert set(file.dependency) <= seen, "a file comes after its imports"
        seen.add(file.name)
    assert len(names) == len(set(names))


def test_serve_passes_flags(planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr("serving.model_server.main.main", lambda flags: calls.append(flags))
    root = tmp_path / "films"
    shutil.copytree(planted.model.parent, root / "serving")
    monkeypatch.setattr(sys, "argv", ["kindred", "serve", "--root", str(root), "--host=0.0.0.0", "--enable_batching"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert (ended.value.code or 0) == 0
    assert calls == [
        ["--rest_api_port=8501", "--port=8500", "--model_name=films", f"--model_base_path={root / 'serving'}",
         "--host=0.0.0.0", "--enable_batching"]
    ]  # fmt: skip


def test_serve_reports_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kindred", "serve", "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "`kindred run` publishes to ROOT/serving" in capsys.readouterr().err
