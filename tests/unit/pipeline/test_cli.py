"""The `kindred` command: quick help, plain words, exit codes."""

from __future__ import annotations

import importlib.metadata
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from errors import ModelNotFound
from pipeline import cli
from pipeline.commands import model_cli
from serving.answers import PairScore

KINDRED = Path(sys.executable).with_name("kindred")
HEAVY = {"tensorflow", "tfx", "keras", "apache_beam", "numpy", "pyarrow", "pandas"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(KINDRED), *arguments], capture_output=True, text=True)


def _main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["kindred", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_help_takes_less_than_a_second() -> None:
    """Of the processor, because other tests run at the same time."""
    seconds = []
    for _ in range(3):
        start = _seconds_of_children()
        done = _run("--help")
        seconds.append(_seconds_of_children() - start)
        assert done.returncode == 0
    assert all(command in done.stdout for command in ("run", "score", "similar", "doctor"))
    assert min(seconds) < 1


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import json, sys\n"
        "sys.argv = ['kindred', '--help']\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(json.loads(done.stdout.splitlines()[-1])) == set()


def test_version_matches_package(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    version = importlib.metadata.version("kindred")
    assert _main(monkeypatch, capsys, "--version") == (0, f"kindred {version}\n", "")


@pytest.fixture
def run_kindred(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    return lambda *arguments: _main(monkeypatch, capsys, *arguments)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A fake published model that returns its arguments."""
    calls: list[tuple] = []

    def score(left: bytes, right: bytes) -> SimpleNamespace:
        calls.append((left, right))
        value = {b"up": 1.5, b"down": -1.5}.get(right, 0.0)
        return PairScore(
            score=value, strength=abs(value), value=value + 3, left_known=left != b"film", right_known=right != b"new"
        )

    def similar(
        side: str, query: bytes, k: int, exclude: tuple[bytes, ...] = (), probes: int | None = None
    ) -> tuple[list[SimpleNamespace], bool]:
        calls.append((side, query, k, *exclude, *([] if probes is None else [("probes", probes)])))
        ids = [b"\xff"] if query == b"raw" else [b"caf\xc3\xa9", b"two words"]
        return [SimpleNamespace(id=name, score=2.0 - i) for i, name in enumerate(ids[:k])], query not in (
            b"new",
            b"film",
        )

    def knows(side: str, name: bytes) -> bool:
        return (side, name) == ("right", b"film")

    client = SimpleNamespace(
        score=score,
        similar=similar,
        neighbors=similar,
        knows=knows,
        known=lambda side, ids: [name != b"new" for name in ids],
        recommend=lambda side, liked, k, exclude: similar(side, b" ".join(liked), k, exclude),
    )
    monkeypatch.setattr(model_cli, "_load", lambda path: client)
    return calls


@pytest.mark.parametrize(
    ("right", "number", "meaning"),
    [("up", "+1.5000", "similar"), ("down", "-1.5000", "dissimilar"), ("x", "+0.0000", "neither")],
)
def test_score_explains_sign(run_kindred, model: list, right: str, number: str, meaning: str) -> None:
    code, out, err = run_kindred("score", "--model", "m", "a b", right)
    lines = [line.split("  ") for line in out.splitlines()]
    assert (code, err) == (0, "")
    cells = {line[0].strip(): [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}
    assert cells["score"] == [number, meaning]
    assert cells["strength"][0] == number[1:]
    assert cells["value"][0] == f"{float(number) + 3:.4f}"
    assert cells["left"] == ["a b", "known"]
    assert model == [(b"a b", right.encode())]


def test_answers_are_json_if_wanted(run_kindred, model: list) -> None:
    code, out, err = run_kindred("score", "--model", "m", "a b", "up", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "left": "a b", "right": "up", "score": 1.5, "strength": 1.5, "value": 4.5, "left_known": True,
        "right_known": True,
    }  # fmt: skip
    answers = [{"id": "café", "score": 2.0}, {"id": "two words", "score": 1.0}]
    for words in (["similar", "x"], ["similar", "--liked", "x"]):
        assert json.loads(run_kindred(*words, "--model", "m", "--json")[1]) == {"known": True, "answers": answers}
    out = run_kindred("similar", "raw", "--model", "m", "--json")[1]
    assert json.loads(out)["answers"] == [{"id": "\udcff", "score": 2.0}], "an id that is no text keeps its bytes"


def _options(command: Any, *names: str) -> Iterator[tuple[str, set[str]]]:
    """Yields the name of each command and its options."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from _options(below, *names, name)
    else:
        yield " ".join(names), {option for parameter in command.params for option in parameter.opts}


def test_every_command_but_the_server_has_json() -> None:
    options = dict(_options(typer.main.get_command(cli.app)))
    assert [name for name, found in options.items() if "--json" not in found] == ["serve"]


def test_commands_that_show_progress_can_be_quiet() -> None:
    options = dict(_options(typer.main.get_command(cli.app)))
    quiet = {"run", "tune", "recommend", "score", "submit", "schedule backfill"}
    assert {name for name, found in options.items() if "--quiet" in found} == quiet


def test_unknown_id_is_reported(run_kindred, model: list) -> None:
    assert "new      unknown: not in training" in run_kindred("score", "--model", "m", "a", "new")[1]
    code, out, err = run_kindred("similar", "--model", "m", "new", "-k", "1")
    assert code == 0 and "new does not occur in training" in err and out


def test_id_of_the_other_side_is_reported(run_kindred, model: list) -> None:
    code, out, err = run_kindred("similar", "--model", "m", "film", "-k", "1")
    assert code == 0 and out
    assert err == (
        "film is not a known left id. It is known as a right id: use --side left to list left entities for it. "
        "This is the ranking for an average entity.\n"
    )
    assert "use --side right" in run_kindred("neighbors", "--model", "m", "film")[2]
    assert "film     unknown: known as a right id" in run_kindred("score", "--model", "m", "film", "up")[1]


def test_neighbors_are_of_the_same_side(run_kindred, model: list) -> None:
    assert run_kindred("neighbors", "--model", "m", "a", "-k", "1") == (0, "café  +2.0000\n", "")
    run_kindred("neighbors", "--model", "m", "a", "--side", "right")
    assert model == [("left", b"a", 1), ("right", b"a", 10)]


@pytest.mark.parametrize(("command", "side"), [("similar", "right"), ("neighbors", "left")])
def test_approximate_ranking_is_asked_for(run_kindred, model: list, command: str, side: str) -> None:
    for more, probes in (([], 0), (["--probes", "7"], 7)):
        assert run_kindred(command, "--model", "m", "a", "--approximate", *more)[0] == 0
        assert model[-1] == (side, b"a", 10, ("probes", probes))
    code, _, errors = run_kindred(command, "--model", "m", "a", "--probes", "7")
    assert code == 2 and "--approximate" in errors


def test_approximate_ranking_has_exclusions(run_kindred, model: list, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("left_id,right_id\na,x\nb,y\n")
    more = ["--exclude", "q", "--exclude-seen", str(tmp_path / "pairs.csv")]
    assert run_kindred("similar", "--model", "m", "a", "--approximate", *more)[0] == 0
    assert model == [("right", b"a", 10, b"q", b"x", ("probes", 0))]


def test_seen_partners_are_excluded(run_kindred, model: list, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("user,film\na,x\nb,y\na,z\na,x\n")
    seen = ["--exclude-seen", str(pairs), "--columns", "user,film"]
    assert run_kindred("similar", "--model", "m", "a", "--exclude", "q", "--exclude", "caf\udce9", *seen)[0] == 0
    run_kindred("similar", "--model", "m", "x", "--side", "left", *seen)
    run_kindred("similar", "--model", "m", "nobody", *seen)
    assert model == [
        ("right", b"a", 10, b"q", b"caf\xe9", b"x", b"z"),
        ("left", b"x", 10, b"a"),
        ("right", b"nobody", 10),
    ]


@pytest.mark.parametrize(
    ("name", "columns", "words"),
    [
        ("none.csv", "user,film", "none.csv: no such file"),
        ("pairs.csv", "user,movie", "has no column 'movie'. Its columns are 'user', 'film'"),
        ("pairs.csv", "user", "must be two columns"),
        ("pairs.csv", "user,1", "must be two columns"),
        ("pairs.csv", "0,0", "must be two columns"),
    ],
)
def test_wrong_file_of_pairs_is_one_sentence(
    run_kindred, model: list, tmp_path: Path, name: str, columns: str, words: str
) -> None:
    (tmp_path / "pairs.csv").write_text("user,film\na,x\n")
    code, out, err = run_kindred(
        "similar", "--model", "m", "a", "--exclude-seen", str(tmp_path / name), "--columns", columns
    )
    assert (code, out, model) == (2, "", []) and "Traceback" not in err
    assert words in " ".join(err.replace("│", " ").split())


def test_liked_entities_stand_for_a_new_entity(run_kindred, model: list) -> None:
    code, out, err = run_kindred(
        "similar", "--model", "m", "--liked", "x", "--liked", "new", "--exclude", "z", "-k", "1"
    )
    assert (code, out) == (0, "café  +2.0000\n")
    assert err == "new is not a known right id, so it has no effect: not in training.\n"
    assert model == [("right", b"x new", 1, b"z")]
    assert "This is the ranking for an average entity" in run_kindred("similar", "--model", "m", "--liked", "new")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "either an id or --liked"),
        (("a", "--liked", "b"), "either an id or --liked"),
        (("--liked", "b", "--exclude-seen", "pairs.csv"), "needs ID"),
    ],
)
def test_liked_entities_replace_the_id(run_kindred, model: list, arguments: tuple, words: str) -> None:
    code, out, err = run_kindred("similar", "--model", "m", *arguments)
    assert (code, out, model) == (2, "", []) and words in " ".join(err.replace("│", " ").split())


def test_ids_are_bytes(run_kindred, model: list) -> None:
    code, out, _ = run_kindred("similar", "--model", "m", "caf\udce9", "--side", "left", "-k", "2")
    assert model == [("left", b"caf\xe9", 2)]
    assert code == 0
    assert out.splitlines() == ["café       +2.0000", "two words  +1.0000"]


def test_id_may_start_with_dash(run_kindred, model: list) -> None:
    run_kindred("score", "--model", "m", "--", "-5", "up")
    assert model == [(b"-5", b"up")]


def test_zero_neighbors_prints_nothing(run_kindred, model: list) -> None:
    assert run_kindred("similar", "--model", "m", "a", "-k", "0") == (0, "", "")


def test_non_text_id_is_printed_exactly(
    model: list, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kindred", "similar", "--model", "m", "raw"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsysbinary.readouterr().out == b"\xff  +2.0000\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("similar", "--model", "m", "a", "--side", "middle"), "middle"),
        (("similar", "--model", "m", "a", "-k", "-1"), "-k"),
        (("similar", "--model", "m", "a", "-k", "ten"), "-k"),
        (("similar", "a"), "--model"),
        (("score", "--model", "m", "a"), "RIGHT"),
        (("run",), "--config"),
        (("publish",), "publish"),
    ],
)
def test_wrong_command_line_names_word(run_kindred, model: list, arguments: tuple, word: str) -> None:
    code, out, err = run_kindred(*arguments)
    assert (code, out, model) == (2, "", [])
    assert word in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config", "none.yaml"], "none.yaml: no such pipeline file. Set --config to an existing file"),
        (["--beam", "moon"], "--beam moon: unknown profile. Choose from local, flink, dataflow"),
        (["--set", "x"], "--set 'x': must have the form section.key=value, such as train.epochs=5"),
        (["--set", "train.epochs=0"], "c.yaml: train.epochs: must be greater than 0 (got 0)"),
        (["--set", "schema=s"], "s: no such file. Omit `schema` to use the curated one"),
        (
            ["--root", "hdfs://bucket/films"],
            "must be a directory, or a URL that begins with s3://, gs://, az:// or abfs://",
        ),
        ([], "no-such-pairs.csv: no such file. Correct data.path in the pipeline file, or set --data PATH"),
    ],
)
def test_bad_configuration_is_one_sentence(
    run_kindred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("name: films\ndata: {path: no-such-pairs.csv}\n")
    code, out, err = run_kindred("run", "--config", "c.yaml", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.endswith(f"{sentence}\n") and err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml"]  # nothing was begun


def test_missing_model_is_one_sentence(tmp_path: Path) -> None:
    done = _run("score", "--model", str(tmp_path / "none"), "a", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: --model {tmp_path / 'none'}: no such directory. `kindred run` publishes to ROOT/serving\n"
    )


def test_unexpected_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(cli, "_run", broken)
    with pytest.raises(RuntimeError, match="ours"):
        cli.main()


def test_user_mistakes_keep_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise ModelNotFound("gone")

    monkeypatch.setattr(cli, "_run", refuse)
    assert _main(monkeypatch, capsys) == (2, "", "error: gone\n")
