"""`kindred init`: the proposed file names the planted columns, and a run reads the planted pairs with it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import hypothesis
import hypothesis.strategies as st
import jsonschema
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from typer.testing import CliRunner

from components.pair_example_gen.reading import chunks
from components.pair_example_gen.source import find_files, split_path
from errors import ConfigError, InputError
from pipeline.cli import app
from pipeline.commands.init.command import Request, init
from pipeline.config import PipelineConfig, load_config

PAIRS = [(f"u{at % 7}", f"f{at % 11}") for at in range(40)]
STARS = [at % 5 + 1 for at in range(40)]
TIMES = [978_300_000 + 37 * at for at in range(40)]


def _init(folder: Path, data: Path | str, **options: Any) -> PipelineConfig:
    return load_config(init(Request(folder, str(data), **options)).path)


def _pairs(config: PipelineConfig) -> list[tuple[str, str]]:
    """The pairs that a run reads."""
    found = []
    for file in find_files(*split_path(config.data.path)).files:
        for chunk in chunks.cut(0, file, config.data):
            for rows in chunks.read(chunk, config.data):
                sides = [rows.columns[side].cast(pa.string()).to_pylist() for side in ("left", "right")]
                found += list(zip(*sides, strict=True))
    return found


def _roles(config: PipelineConfig) -> dict[str, Any]:
    return config.data.columns.roles


def _csv(folder: Path, header: str | None, *columns: list[Any], delimiter: str = ",", name: str = "p.csv") -> Path:
    lines = [delimiter.join(map(str, row)) for row in zip(*columns, strict=True)]
    path = folder / name
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return path


LEFT, RIGHT = ([pair[side] for pair in PAIRS] for side in (0, 1))


@pytest.mark.parametrize("delimiter", [";", "|", "\t"])
def test_commas_in_every_title_are_no_delimiter(tmp_path: Path, delimiter: str) -> None:
    """Each row has one comma, in the title, and the header has none."""
    titles = [f"Film {name}, The" for name in RIGHT]
    path = _csv(tmp_path, delimiter.join(["userId", "title", "rating"]), LEFT, titles, STARS, delimiter=delimiter)
    config = _init(tmp_path / "new", path)
    assert _roles(config) == {"left": "userId", "right": "title", "score": "rating"}
    assert _pairs(config) == list(zip(LEFT, titles, strict=True))


@pytest.mark.parametrize(
    ("header", "columns", "roles"),
    [
        ("user,film,stars", (LEFT, RIGHT, STARS), {"left": "user", "right": "film", "score": "stars"}),
        ("movieId,userId,rating", (RIGHT, LEFT, STARS), {"left": "userId", "right": "movieId", "score": "rating"}),
        (
            "when,customer_id,SKU,qty",
            (TIMES, LEFT, RIGHT, STARS),
            {"left": "customer_id", "right": "SKU", "weight": "qty", "time": "when"},
        ),
        ("id,user,item", (range(40), LEFT, RIGHT), {"left": "user", "right": "item"}),
        (
            "drug,protein,kiba",
            (LEFT, RIGHT, [at / 7 for at in range(40)]),
            {"left": "drug", "right": "protein", "score": "kiba"},
        ),
        ("a,b,liked", (LEFT, RIGHT, ["true", "false"] * 20), {"left": "a", "right": "b", "score": "liked"}),
        ("a,b", (LEFT, RIGHT), {"left": "a", "right": "b"}),  # all values have digits, and the names have none
        ("a,b,t", (LEFT, RIGHT, [1000 * TIMES[0], *TIMES[1:]]), {"left": "a", "right": "b", "time": "t"}),
        ("a,b,rating", (LEFT, RIGHT, [1] * 40), {"left": "a", "right": "b"}),  # one value is no score
        ("a,b,n1,n2", (LEFT, RIGHT, STARS, STARS), {"left": "a", "right": "b"}),  # ambiguous numbers are no score
    ],
)
def test_columns_by_name(tmp_path: Path, header: str, columns: Any, roles: dict[str, str]) -> None:
    config = _init(tmp_path / "new", _csv(tmp_path, header, *map(list, columns)))
    assert _roles(config) == roles
    assert _pairs(config) == PAIRS


@pytest.mark.parametrize(
    ("delimiter", "name"), [("\t", "u.data"), ("::", "ratings.dat"), (";", "p.csv"), ("|", "p.x1")]
)
def test_columns_by_values_without_header(tmp_path: Path, delimiter: str, name: str) -> None:
    config = _init(tmp_path / "new", _csv(tmp_path, None, LEFT, RIGHT, STARS, TIMES, delimiter=delimiter, name=name))
    assert _roles(config) == {"left": 0, "right": 1, "score": 2, "time": 3}
    assert config.data.header is False
    assert _pairs(config) == PAIRS


def test_jsonl_and_parquet(tmp_path: Path) -> None:
    lines = [json.dumps({"user": u, "film": f, "stars": s, "tags": []}) for (u, f), s in zip(PAIRS, STARS, strict=True)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    (tmp_path / "p.txt").write_text("\n".join(lines))
    table = pa.table({"user": LEFT, "film": RIGHT, "stars": STARS, "tags": [[1]] * 40})
    pa.parquet.write_table(table, tmp_path / "p.parquet")
    for name in ("p.jsonl", "p.txt", "p.parquet"):
        config = _init(tmp_path / "new", tmp_path / name, force=True)
        assert _roles(config) == {"left": "user", "right": "film", "score": "stars"}
        assert _pairs(config) == PAIRS


def test_adjacency_lists(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("0 1 2 3\n1 5\n2 4 6\n3 1 2 5 6 7\n4 1 3 4 6 8 9\n")
    config = _init(tmp_path / "new", tmp_path / "p.txt")
    assert config.data.format == "adjacency"
    assert len(_pairs(config)) == 17


def test_unusable_header_gives_numbers(tmp_path: Path) -> None:
    config = _init(tmp_path / "new", _csv(tmp_path, ",user,film,stars", list(range(40)), LEFT, RIGHT, STARS))
    assert _roles(config) == {"left": 1, "right": 2, "score": 3}
    assert _pairs(config) == PAIRS


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["span-1", "span-2", "span-10"], "span-{SPAN}/*"),
        (["span-01", "span-02"], "span-{SPAN:2}/*"),
        (["2026-01-01", "2026-01-02"], "{YYYY}-{MM}-{DD}/*"),
        (["day=2026-01-01", "day=2026-01-02"], "day={YYYY}-{MM}-{DD}/*"),
        (["part-1", "part-2"], None),
        (["span-1"], None),
    ],
)
def test_spans_of_a_directory(tmp_path: Path, names: list[str], pattern: str | None) -> None:
    for name in names:
        (tmp_path / "data" / name).mkdir(parents=True)
        _csv(tmp_path / "data" / name, "user,film,stars", LEFT, RIGHT, STARS)
    config = _init(tmp_path / "new", tmp_path / "data")
    assert config.data.path == str(tmp_path / "data" / (pattern or ""))
    assert ("{" in config.data.path) == (pattern is not None)


def test_file_names_the_schema_and_follows_it(tmp_path: Path) -> None:
    text = init(Request(tmp_path / "new", str(_csv(tmp_path, "user,film,stars", LEFT, RIGHT, STARS)))).text
    first = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=file://")
    schema = json.loads(Path(unquote(first)).read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(text), schema)


def test_existing_file_is_kept_without_force(tmp_path: Path) -> None:
    data = _csv(tmp_path, "user,film", LEFT, RIGHT)
    (tmp_path / "pipeline.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"exists\. Use --force"):
        init(Request(tmp_path, str(data)))
    assert (tmp_path / "pipeline.yaml").read_text() == "mine"
    assert _init(tmp_path, data, force=True, name="films").name == "films"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("user\nu1\nu2\n", "one field"),
        ("user,stars\n", "no rows"),
        ("", "empty"),
        ("a,b\n1.5,x\n2.5,y\n", "two columns of ids"),
    ],
)
def test_hopeless_file_is_refused_and_nothing_is_written(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        init(Request(tmp_path / "new", str(tmp_path / "p.csv")))
    assert not (tmp_path / "new" / "pipeline.yaml").exists()


def test_bad_name_and_url_are_refused(tmp_path: Path) -> None:
    data = _csv(tmp_path, "user,film", LEFT, RIGHT)
    with pytest.raises(ConfigError, match="name"):
        init(Request(tmp_path, str(data), name="Films!"))
    with pytest.raises(ConfigError, match="local files"):
        init(Request(tmp_path, "s3://bucket/p.csv"))


def test_next_commands_work_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _csv(tmp_path, "user,film,stars", LEFT, RIGHT, STARS)
    done = CliRunner().invoke(app, ["init", "my films", "--data", "p.csv"])
    assert done.exit_code == 0
    check, run = (shlex.split(line)[-3:] for line in done.stdout.splitlines()[-2:])
    assert (check[0], run) == ("check", ["run", "--config", "my films/pipeline.yaml"])
    assert CliRunner().invoke(app, check).exit_code == 0


def test_missing_file_is_named_by_its_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--data .*none\.csv: no such file"):
        init(Request(tmp_path, str(tmp_path / "none.csv")))


@pytest.mark.parametrize("name", ["p.csv", "days/day-2026-01-01.csv"])
def test_suggested_lines_work_without_comment_sign(tmp_path: Path, name: str) -> None:
    (tmp_path / "days").mkdir()
    for file in (name, "days/day-2026-01-02.csv"):
        _csv(tmp_path, "user,film,stars,time", LEFT, RIGHT, STARS, TIMES, name=file)
    has_spans = "/" in name
    text = init(Request(tmp_path / "new", str(tmp_path / ("days" if has_spans else name)))).text
    keys = "spans|split|duplicates|model|evaluate|  bless|    - "
    changed = re.sub(rf"^( *)# (?={keys})", r"\1", text, flags=re.MULTILINE)
    assert text.count("\n") == changed.count("\n") and len(text) - len(changed) == 2 * (6 + has_spans)
    (tmp_path / "new" / "pipeline.yaml").write_text(changed)
    config = load_config(tmp_path / "new" / "pipeline.yaml")
    assert (config.data.split.by, config.data.duplicates, config.model.dimension) == ("time", "last", 64)
    assert config.data.spans.latest == (30 if has_spans else 1)


def test_proposal_is_json_if_wanted(tmp_path: Path) -> None:
    path = _csv(tmp_path, "user,film,stars", LEFT, RIGHT, STARS)
    done = CliRunner().invoke(app, ["init", str(tmp_path / "films"), "--data", str(path), "--json"])
    proposal = json.loads(done.stdout)
    assert proposal["file"] == str(tmp_path / "films" / "pipeline.yaml") and Path(proposal["file"]).is_file()
    assert {role: chosen["column"] for role, chosen in proposal["columns"].items()} == {
        "left": "user", "right": "film", "score": "stars",
    }  # fmt: skip
    assert [shlex.split(line)[-3] for line in proposal["next"]] == ["check", "run"]


def test_asks_on_a_terminal(tmp_path: Path) -> None:
    """On a real terminal: the third answer replaces the proposed score, a wrong answer is asked again."""
    _csv(tmp_path, "user,film,stars,price", LEFT, RIGHT, STARS, [at / 3 for at in range(40)])
    outer, inner = pty.openpty()
    program = [sys.executable, "-m", "kindred", "init", "new", "--data", "p.csv"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(program, cwd=tmp_path, stdin=inner, stdout=inner, stderr=inner, env=environment)
    os.close(inner)
    os.write(outer, b"\n\nnothing\nprice\n\n\n")
    shown = _all(lambda: os.read(outer, 4096))
    assert process.wait(60) == 0, shown
    assert "left column [user]" in shown
    assert "'nothing' is not possible" in shown
    assert _roles(load_config(tmp_path / "new" / "pipeline.yaml"))["score"] == "price"


def _all(read: Callable[[], bytes]) -> str:
    parts = []
    while True:
        try:
            parts.append(read())
        except OSError:  # the terminal has no writer any more
            break
        if not parts[-1]:
            break
    return b"".join(parts).decode()


# A quotation mark is text in files with tabs, and a mark at the beginning of a file makes a comment.
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters='"'), min_size=1, max_size=8
)
IDS = st.lists(st.sampled_from(["a", "b b", "ç", "x-1", "007", "k:v", "z#", "null"]), min_size=3, max_size=12)


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(
    names=st.lists(NAMES, min_size=3, max_size=3, unique=True),
    lefts=IDS,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    header=st.booleans(),
)
def test_any_header_and_delimiter(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], lefts: list[str], delimiter: str, header: bool
) -> None:
    """The pairs are those of Python's csv module. A header is recognized unless one of its names is a number."""
    hypothesis.assume(names[0][0] not in "#%\ufeff" and names[0][0] not in "{[")
    folder = tmp_path_factory.mktemp("any")
    rows = [(left, f"i{at % 3}", f"{at / 4}") for at, left in enumerate(lefts)]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([*([names] if header else []), *rows])
    (folder / "p.csv").write_bytes(text.getvalue().encode())
    config = _init(folder, folder / "p.csv")
    parsed = list(csv.reader(io.StringIO(text.getvalue()), delimiter=delimiter))
    by_name = {name: at for at, name in enumerate(parsed[0])}
    sides = config.data.columns.left, config.data.columns.right
    at = [by_name[column] if isinstance(column, str) else column for column in sides]
    has_header = isinstance(sides[0], str)
    assert config.data.header == ("auto" if has_header else False)
    assert has_header == (header and not any(map(_is_number, names)))
    assert _pairs(config) == [tuple(row[place] for place in at) for row in parsed[has_header:]]


def _is_number(name: str) -> bool:
    return (
        re.fullmatch(r"\s*[+-]?([\d_]+([.,]\d*)?|[.,]\d+|nan|inf(inity)?)([eE][+-]?\d+)?\s*", name, re.IGNORECASE)
        is not None
    )


_HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [b"a", b"1", b"1,5", b'"', b",", b"\t", b"\n", b"\r\n", b"{", b"}", b"\xff", b"#", b"\0", b" "]
        )
    ).map(b"".join),
    st.lists(st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.floats(), st.text(max_size=3)), max_size=4))
    .map(lambda objects: "\n".join(map(json.dumps, objects)).encode()),
)  # fmt: skip


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(content=_HOSTILE, suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".ratings", ""]))
def test_any_bytes_give_a_valid_file_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / f"p{suffix}").write_bytes(content)
    try:
        proposal = init(Request(folder / "new", str(folder / f"p{suffix}")))
    except (InputError, ConfigError):
        assert not (folder / "new").exists() or not list((folder / "new").iterdir())
        return
    load_config(proposal.path)
