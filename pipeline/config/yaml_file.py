"""Reads and writes YAML for pipeline files: refuses duplicate keys and reads 1e-3 as a number."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from errors import ConfigError


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and reads floats as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes text such as 1e3, which `_Loader` would read as a number."""


# PyYAML follows YAML 1.1, which reads 1e-3 as text. This is the resolver of the core schema of YAML 1.2.
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$"),
        list("-+0123456789."),
    )


def dump(tree: Any, allow_unicode: bool = False) -> str:
    """Returns `tree` as YAML that `parse` reads back. Keeps the order of keys. Escapes Unicode unless allowed."""
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=100))


def dump_line(tree: Any) -> str:
    """Returns `tree` as one line of YAML that `parse` reads back."""
    text = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, default_flow_style=True, width=float("inf"))
    return str(text).rstrip("\n")


def parse(text: str, source: str) -> Any:
    """Parses YAML.

    Args:
      text: the YAML.
      source: the name of the file in error messages.

    Raises:
      ConfigError: the text is not YAML, or has a duplicate key. The message has line and column.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{source}{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
