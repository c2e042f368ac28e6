"""Every command, option, make target, module and link in the documentation exists."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import typer

from pipeline.cli import app
from tests.unit.docs.pages import ROOT, pages, prose, shell_blocks

_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_KINDRED = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?kindred +(?P<words>.+)$")
_MAKE = re.compile(r"^(?:\$ )?make +(?P<words>[a-z].*)$")
_MODULE = re.compile(
    r"^(?:\$ )?(?:\.venv/bin/)?python -m (?P<module>(?:benchmarks|bootstrap|examples|pipeline|serving|tests)\S*)"
)
# A path in the repository, in text or in a code span, such as trainer/data/hashing.py.
_PATH = re.compile(
    r"(?<![\w./-])(?:pipeline|components|trainer|serving|compat|errors|schemas|examples|benchmarks|bootstrap|deploy|tests)"
    r"/[\w./-]*\w\.(?:py|md|yaml|pbtxt)\b"
)
# A comment, a redirection or a further command ends a command.
_ENDS = re.compile(r"\s+(?:#|\||>|&&).*$")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _commands(text: str) -> Iterator[str]:
    """The command lines of a page: lines of shell blocks, and code spans."""
    for block in shell_blocks(text):
        yield from (_ENDS.sub("", line.strip()) for line in block.replace("\\\n", " ").splitlines())
    yield from _SPAN.findall(text)


def _documented(pattern: re.Pattern[str], group: str) -> list[str]:
    """Returns the distinct matches of `pattern` in the commands of all pages, sorted."""
    found = (pattern.match(command) for path in pages() for command in _commands(_text(path)))
    return sorted({match[group] for match in found if match})


def _names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def _root() -> click.Command:
    return typer.main.get_command(app)


def problem_of_kindred(words: str) -> str | None:
    """Returns the problem of `kindred WORDS`, such as an unknown subcommand or option, or None."""
    # A synopsis: [--trials N] is optional, and a|b are alternatives. Only the options of the first are checked.
    given = shlex.split(re.sub(r"[\[\]()…]|\.\.\.", " ", words))
    command = _root()
    while given and hasattr(command, "commands") and not given[0].startswith("-"):
        names = given.pop(0).split("|")
        if missing := [name for name in names if name not in command.commands]:
            return f"no command {missing[0]!r}; there are {', '.join(command.commands)}"
        command = command.commands[names[0]]
    if command.context_settings.get("ignore_unknown_options"):
        return None  # `kindred serve` passes further flags to the server
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    for word in given:
        option = word.partition("=")[0]
        if option.startswith("-") and option != "-" and option not in known:
            return f"no option {option!r}; there are {', '.join(sorted(known))}"
    return None


@pytest.mark.parametrize("words", _documented(_KINDRED, "words"))
def test_kindred_command_exists(words: str) -> None:
    assert problem_of_kindred(words) is None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("run --config films.yaml", None),
        ("score|similar --endpoint URL", None),
        ("tune --config FILE [--trials N]", None),
        ("schedule list", None),
        ("serve --root build/films --rest_api_port=9000", None),
        ("ran --config films.yaml", "no command 'ran'"),
        ("schedule explode", "no command 'explode'"),
        ("score|resemble a b", "no command 'resemble'"),
        ("run --confg=films.yaml", "no option '--confg'"),
        ("report --why --color", "no option '--color'"),
    ],
)
def test_wrong_command_is_found(words: str, problem: str | None) -> None:
    found = problem_of_kindred(words)
    assert found is None if problem is None else found is not None and found.startswith(problem)


def _make_runs(words: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    arguments = [word for word in shlex.split(re.sub(r"[\[\]]", " ", words)) if word != "..."]
    return subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, env=inherited)


@pytest.mark.parametrize("words", _documented(_MAKE, "words"))
def test_make_target_exists(words: str) -> None:
    done = _make_runs(words)
    assert done.returncode == 0, done.stderr
    # A misspelled variable is silently ignored by make.
    makefile = _text(ROOT / "Makefile")
    for variable in re.findall(r"\b([A-Z]+)=", words):
        assert f"$({variable})" in makefile, f"no variable {variable} in the Makefile"


def test_commands_are_found_in_pages() -> None:
    assert "report RUN --open" in _documented(_KINDRED, "words")
    assert {"run-local", "test"} <= set(_documented(_MAKE, "words"))


def test_wrong_make_target_is_found() -> None:
    assert _make_runs("rune-local").returncode == 2


@pytest.mark.parametrize("module", _documented(_MODULE, "module"))
def test_module_exists(module: str) -> None:
    path = ROOT.joinpath(*module.split("."))
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def _anchors(path: Path) -> set[str]:
    """Returns the anchors that GitHub creates for the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", _text(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=_names)
def test_links_resolve(page: Path) -> None:
    for link in _LINK.finditer(_text(page)):
        to, _, anchor = unquote(link["to"]).partition("#")
        if re.match(r"[a-z]+:", to):
            continue
        target = (page.parent / to).resolve() if to else page
        assert target.exists(), link["to"]
        assert not anchor or anchor in _anchors(target), link["to"]


@pytest.mark.parametrize("page", pages(), ids=_names)
def test_named_files_exist(page: Path) -> None:
    text = prose(_text(page)) + "\n" + "\n".join(_SPAN.findall(_text(page)))
    assert [path for path in _PATH.findall(text) if not (ROOT / path).exists()] == []
