"""Sets keys in the text of a pipeline file, and leaves comments, order and everything else as it is.

A YAML library that keeps comments writes the whole file again. It changes lines that nobody edits: the indentation of
lists, `null`, blanks and line ends. So this module edits the text where PyYAML finds the nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from errors import ConfigError
from pipeline.config import yaml_file
from trainer.settings import with_values

_INDENT = 2


def with_keys(text: str, values: Mapping[str, Any], source: str) -> str:
    """Returns the text with other values at dotted keys. Missing keys and sections are added.

    Args:
      text: a pipeline file.
      values: JSON-compatible values by dotted key.
      source: the name of the file in error messages.

    Raises:
      ConfigError: the text is not YAML, or writes a key in a way that cannot be edited, such as by an alias.
    """
    before = yaml_file.parse(text, source)
    changed = text
    for key, value in values.items():
        changed = _with_key(changed, key.split("."), value)
    expected = _expected(before, values)
    if not _has(changed, expected, source):
        keys = ", ".join(values)
        raise ConfigError(
            f"{source}: {keys} cannot be set without changing something else, such as an anchor. Edit the file by hand"
        )
    return changed


def _has(text: str, expected: Any, source: str) -> bool:
    """Whether the text is YAML with these values."""
    try:
        return bool(yaml_file.parse(text, source) == expected)
    except ConfigError:
        return False


def without_keys(text: str, keys: Iterable[str], source: str) -> str:
    """Returns the text with the lines of dotted keys as comments.

    Args:
      text: a pipeline file.
      keys: dotted keys. Those that the text does not have are left out.
      source: the name of the file in error messages.

    Raises:
      ConfigError: a key is not alone on its lines.
    """
    expected = _unshared(yaml_file.parse(text, source))
    for key in keys:
        section, *path = key.split(".")
        owner: Any = expected
        for part in (section, *path[:-1]):
            owner = owner.get(part) if isinstance(owner, dict) else None
        if isinstance(owner, dict) and path and path[-1] in owner:
            del owner[path[-1]]
            text = _commented_out(text, key.split("."))
            if not _has(text, expected, source):
                raise ConfigError(f"{source}: {key} would have no effect any more. Remove it from the file by hand")
    return text


def _commented_out(text: str, path: list[str]) -> str:
    node: Any = yaml.compose(text, yaml.SafeLoader)
    for part in path:
        name, node = next(entry for entry in node.value if entry[0].value == part)
    first = text.rfind("\n", 0, name.start_mark.index) + 1
    lines = text[first : max(_end(node), name.end_mark.index)].split("\n")
    column = name.start_mark.column
    marked = "\n".join(f"{line[:column]}# {line[column:]}" for line in lines)
    return f"{text[:first]}{marked}{text[first + len(chr(10).join(lines)) :]}"


def _expected(tree: Any, values: Mapping[str, Any]) -> Any:
    """Returns the tree that the changed text must have."""
    filled = _unshared(tree)
    for key in values:
        section = filled
        for part in key.split(".")[:-1]:
            if section.get(part) is None:
                section[part] = {}
            section = section[part]
    return with_values(filled, values)


def _unshared(tree: Any) -> Any:
    """Returns a copy in which an alias is a copy of its anchor."""
    if isinstance(tree, dict):
        return {key: _unshared(value) for key, value in tree.items()}
    return [_unshared(value) for value in tree] if isinstance(tree, list) else tree


def _with_key(text: str, path: list[str], value: Any) -> str:
    """Sets one key: in the deepest section of its path that the text has."""
    section = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(section, yaml.MappingNode)
    for depth, part in enumerate(path):
        entry = next((entry for entry in section.value if entry[0].value == part), None)
        rest: Any = value
        for name in reversed(path[depth + 1 :]):
            rest = {name: rest}
        if entry is None:
            return _added(text, section, part, rest)
        name_node, value_node = entry
        if depth == len(path) - 1 or not isinstance(value_node, yaml.MappingNode):
            return _replaced(text, name_node, value_node, rest)
        section = value_node
    raise AssertionError("a path has a last key")


def _replaced(text: str, name: yaml.Node, value: yaml.Node, new: Any) -> str:
    """Returns the text with another value of a key. A comment after the old value stays."""
    start, end = value.start_mark.index, _end(value)
    if start == end or _is_block(value):
        # No value, or one on the next lines: write it behind the colon.
        start = text.index(":", name.end_mark.index) + 1
        return f"{text[:start]} {_flow(new)}{text[max(start, end) :]}"
    return f"{text[:start]}{_flow(new)}{text[end:]}"


def _added(text: str, section: yaml.MappingNode, name: str, value: Any) -> str:
    """Returns the text with another key at the end of a section."""
    if section.flow_style:
        end = section.end_mark.index - 1
        before = text[:end].rstrip()
        comma = "" if before.endswith(("{", ",")) else ", "
        return f"{before}{comma}{name}: {_flow(value)}{text[len(before) : end]}{text[end:]}"
    column = section.value[0][0].start_mark.column if section.value else 0
    end = text.find("\n", _end(section))
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{' ' * column}{_block(name, value, column)}{text[end:] or chr(10)}"


def _block(name: str, value: Any, column: int) -> str:
    """Returns lines of a key. Sections are blocks, and other values are in the line of their key."""
    if not isinstance(value, dict):
        return f"{name}: {_flow(value)}"
    inner = column + _INDENT
    lines = (f"\n{' ' * inner}{_block(key, held, inner)}" for key, held in value.items())
    return f"{name}:{''.join(lines)}"


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _end(node: yaml.Node) -> int:
    """Returns where the text of a node ends. PyYAML counts the lines after a block as its own."""
    if not _is_block(node) or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _flow(value: Any) -> str:
    """Returns a value on one line."""
    return yaml_file.dump_line({"k": value})[len("{k: ") : -1]
