"""Reading request logs, and comparing them with training data."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.data_gate.rules import check_traffic
from components.data_gate.settings import GateSettings
from components.pair_statistics.distribution import COUNTS, Distribution
from errors import InputError
from pipeline.commands.monitor import command
from pipeline.commands.monitor.compare import Compared, compare
from pipeline.commands.monitor.page import write_page
from pipeline.commands.monitor.traffic import Traffic, read_log
from pipeline.records.root import Root
from tests.request_logs import logged, write_log

pytestmark = pytest.mark.tensorflow


def _log(version: int, signature: str, inputs: dict, outputs: dict, moment: int = 0) -> bytes:
    return logged(signature, inputs, outputs, version=version, moment=moment)


SCORE = _log(
    2, "score", {"left_id": [b"a", b"b", b"a"], "right_id": [b"x", b"x", b"?"]},
    {"score": [1.5, -1.0, 0.5], "left_known": [True, True, True], "right_known": [True, True, False]}, 1_700_000_000,
)  # fmt: skip
SIMILAR = _log(
    3, "similar_right", {"left_id": [b"new"], "k": 1},
    {"right_id": [[b"x"]], "score": [[9.0]], "known": [False]}, 1_700_000_060,
)  # fmt: skip


def test_requests_are_counted_by_version(tmp_path: Path) -> None:
    write_log(tmp_path / "films.1", [SCORE, SIMILAR])
    write_log(tmp_path / "films.2", [SCORE])
    write_log(tmp_path / "other", [SIMILAR])
    log = read_log(tmp_path / "films")
    assert (len(log.files), log.records, log.damaged) == (2, 3, [])
    second, third = log.traffic
    assert (second.model, second.version, dict(second.requests)) == ("films", 2, {"score": 2})
    assert second.ids == {"left": {b"a": 4, b"b": 2}, "right": {b"x": 4, b"?": 2}}
    assert (second.unknown["left"], second.unknown["right"], third.unknown["left"]) == (0, 2, 1)
    assert second.distribution.scores.tolist() == [-1.0, -1.0, 0.5, 0.5, 1.5, 1.5]
    assert not third.scores, "the scores of a ranking are only the best ones"
    assert third.period == ("2023-11-14T22:14:20+00:00", "2023-11-14T22:14:20+00:00")


def test_file_that_is_being_written_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    write_log(tmp_path / "films.1", [SCORE, SCORE])
    content = (tmp_path / "films.1").read_bytes()
    (tmp_path / "films.1").write_bytes(content[:-7])
    log = read_log(tmp_path / "films")
    assert (log.records, log.damaged) == (1, [tmp_path / "films.1"])


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (None, "no file begins with this path"),
        ([], "1 files without a Predict request"),
        ([b"\xff\xff"], "a record is not a PredictionLog"),
    ],
)
def test_unusable_log_is_one_sentence(tmp_path: Path, records: list[bytes] | None, words: str) -> None:
    if records is not None:
        write_log(tmp_path / "films.1", records)
    with pytest.raises(InputError, match=words):
        read_log(tmp_path / "films")


IDS = [b"id %d" % i for i in range(300)]
SHARES = 1 / np.arange(1, 301) / (1 / np.arange(1, 301)).sum()


def _drawn(random: np.random.Generator, rows: int, shares: np.ndarray = SHARES, shift: float = 0.0) -> Distribution:
    """Draws ids of both sides, and scores."""

    def table() -> pa.Table:
        counts = random.multinomial(rows, shares)
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        return pa.table([pa.array([IDS[i] for i in order], pa.large_binary()), counts[order]], schema=COUNTS)

    return Distribution(table(), table(), np.sort(random.normal(shift, 1, rows)).astype(np.float32))


@pytest.mark.parametrize("rows", [50, 1000])
def test_requests_like_the_training_data_raise_few_alarms(rows: int) -> None:
    """Where the bounds are so strict that only chance decides, at most 5 % of logs raise an alarm."""
    settings = GateSettings(max_unseen_share=1e-9, max_entity_distance=1e-9, max_score_divergence=1e-9)
    random, alarms = np.random.default_rng(7), 0
    for _ in range(200):
        checks = list(check_traffic(_drawn(random, rows), _drawn(random, 5000), settings))
        assert len(checks) == 5
        alarms += not all(check.ok for check in checks)
    assert alarms <= 0.05 * 200 + 3 * (0.05 * 0.95 * 200) ** 0.5


def test_drift_of_each_kind_is_found() -> None:
    random = np.random.default_rng(8)
    train, settings = _drawn(random, 5000), GateSettings()
    assert all(check.ok for check in check_traffic(_drawn(random, 2000), train, settings))
    other = _drawn(random, 2000, np.roll(SHARES, 150), shift=2.0)
    broken = {(check.rule, check.about) for check in check_traffic(other, train, settings) if not check.ok}
    assert broken == {("validate.max_score_divergence", "")}, "no share of an id differs by 0.2"
    strict = GateSettings(max_entity_distance=0.05)
    broken = {(check.rule, check.about) for check in check_traffic(other, train, strict) if not check.ok}
    assert {about for rule, about in broken if rule == "validate.max_entity_distance"} == {"left_id", "right_id"}
    foreign = pa.table([pa.array([b"new"], pa.large_binary()), pa.array([900])], schema=COUNTS)
    checks = check_traffic(Distribution(foreign, COUNTS.empty_table(), np.zeros(0, np.float32)), train, settings)
    broken_words = [check.words for check in checks if not check.ok]
    assert "left_id: 100.0% of the requested ids are not in the training data (at most 0.5)" in broken_words
    assert not any(words.startswith("right_id") for words in broken_words)


def test_version_without_record_is_not_compared(tmp_path: Path) -> None:
    write_log(tmp_path / "films.1", [SCORE])
    (traffic,) = read_log(tmp_path / "films").traffic
    compared = compare(Root(tmp_path), traffic)
    assert not compared.checks and "no record of a run that published version 2" in str(compared.absent)
    assert compared.record()["unknown_share"] == {"left": 0, "right": pytest.approx(1 / 3)}


def test_page_shows_figures_and_escapes_names(tmp_path: Path) -> None:
    write_log(tmp_path / "films.1", [SCORE, SIMILAR])
    log = read_log(tmp_path / "films")
    random = np.random.default_rng(9)
    train = _drawn(random, 500)
    versions = [
        Compared(
            traffic, "20260101-000000-000", train, tuple(check_traffic(traffic.distribution, train, GateSettings()))
        )
        for traffic in log.traffic
    ]
    write_page(tmp_path / "monitor.html", "<films>", log, versions)
    text = (tmp_path / "monitor.html").read_text(encoding="utf-8")
    assert "<films>" not in text and "&lt;films&gt;" in text
    assert "films version 2" in text and "validate.max_unseen_share" in text and "✕ does not hold" in text
    assert "http://" not in text.replace("http://www.w3.org", "") and "<script" not in text


def test_drift_of_requests_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notice, run = tmp_path / "notice.json", "20260101-000000-000"
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    notify = {"on": ["drift"], "command": [sys.executable, "-c", code, str(notice)]}
    summary = {"pipeline": "films", "status": "published", "config": {"notify": notify}}
    (tmp_path / "runs" / run).mkdir(parents=True)
    (tmp_path / "runs" / run / "summary.json").write_text(json.dumps(summary))
    write_log(tmp_path / "log", [SCORE] * 300)
    train = _drawn(np.random.default_rng(9), 5000)

    def planted(root: Root, traffic: Traffic) -> Compared:
        return Compared(traffic, run, train, tuple(check_traffic(traffic.distribution, train, GateSettings())))

    monkeypatch.setattr(command, "compare", planted)
    _, broken = command.monitor(str(tmp_path / "log"), Root(tmp_path), True, pytest.fail)
    content = json.loads(notice.read_text())
    assert (content["event"], content["of"], content["pipeline"], content["run_id"]) == (
        "drift",
        "requests",
        "films",
        run,
    )
    assert len(content["drift"]) == len(broken) > 0
    assert {(check["model"], check["version"], check["ok"]) for check in content["drift"]} == {("films", 2, False)}
    notice.unlink()
    summary["config"]["notify"] = {**notify, "on": ["failed"]}
    (tmp_path / "runs" / run / "summary.json").write_text(json.dumps(summary))
    command.monitor(str(tmp_path / "log"), Root(tmp_path), True, pytest.fail)
    assert not notice.exists()
