"""Generates the references from the program: the commands and the Python API."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Example|Yields): *(.*)$")
BAR = "\\|"
"""A bar in a cell of a table."""
_ITEM = re.compile(r"^  (?! )(?P<names>[\w, ]+): (?P<text>.*)$")


def commands() -> str:
    """Returns the reference of all commands as Markdown."""
    from pipeline.cli import app

    root = typer.main.get_command(app)
    lines = ["# Commands", "", "`kindred COMMAND --help` prints the same."]
    for words, command in _commands("kindred", root):
        lines += ["", f"## {words}", "", _plain(command.help or ""), "", *_usage(words, command)]
    return "\n".join(lines) + "\n"


def _commands(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if hasattr(inner, "commands"):
            yield from _commands(f"{words} {name}", inner)
        else:
            yield f"{words} {name}", inner


def _usage(words: str, command: Any) -> Iterator[str]:
    with command.context_class(command, info_name=words) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        rows = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    yield from ("```text", f"{words} {usage}", "```")
    if rows:
        yield from ("", "| option | meaning |", "|---|---|")
        for option, text in rows:
            yield f"| `{option.replace('|', BAR)}` | {_cell(_plain(text))} |"


def python_api() -> str:
    """Returns the reference of `kindred.api` and of the errors as Markdown."""
    import errors
    from kindred import api

    lines = ["# Python API reference", "", "[The guide](../api.md) has examples."]
    for name in api.__all__:
        value = getattr(api, name)
        lines += ["", f"## {name}", "", *_documented(name, value)]
        if inspect.isclass(value):
            for member, method in _methods(value):
                lines += ["", f"### {name}.{member}", "", *_documented(f"{name}.{member}", method)]
    tree = (errors.__doc__ or "").split("\n\n")
    lines += ["", "## Errors", "", tree[0], "", "```text", tree[1], "```", ""]
    return "\n".join(lines) + "\n"


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield name, member


def _documented(name: str, value: Any) -> Iterator[str]:
    if inspect.isfunction(value):
        yield from ("```text", f"{name}{_signature(value)}", "```", "")
    yield from _sections(inspect.getdoc(value) or "")


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    return str(signature.replace(parameters=kept)).replace("'", "")


def _sections(text: str) -> Iterator[str]:
    """Yields the lines of a docstring as Markdown: the sections as bold words, their entries as lists."""
    inside, has_items = False, False
    for line in text.splitlines():
        heading, item = _SECTION.match(line), _ITEM.match(line)
        if heading:
            inside, has_items = True, heading[1] in ("Args", "Attributes", "Raises")
            yield from (f"**{heading[1]}**", "")
            if heading[2]:
                yield heading[2]
        elif has_items and item:
            yield f"- `{item['names']}`: {item['text']}"
        else:
            yield f"  {line.strip()}" if inside and line.startswith("    ") else line.strip()


def _plain(text: str) -> str:
    return " ".join(text.replace("\b", "").split())


def _cell(text: str) -> str:
    return text.replace("|", BAR).replace("<", "&lt;").replace("[", "\\[")
