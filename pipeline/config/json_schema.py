"""The JSON Schema of a pipeline file, with which editors complete and check keys. Generated from the settings models.

`python -m pipeline.config.json_schema` in the repository writes it again. The descriptions of keys are those of the
table in docs/pipeline-file.md.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import schemas
from pipeline.config.pipeline_file import PipelineConfig

FILE = Path(schemas.__file__).with_name("pipeline.schema.json")
_PAGE = Path("docs", "pipeline-file.md")
# pydantic leaves the limits of a type with its own validator under their names in Python.
_LIMITS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_ROW = re.compile(r"^\| (?P<keys>`[a-z][a-z_.]*`(?:, `[a-z][a-z_.]*`)*) \| .*? \| (?P<meaning>.+) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


def generate(page: str) -> str:
    """Returns the text of the schema.

    Args:
      page: the text of docs/pipeline-file.md.
    """
    tree = _clean(PipelineConfig.model_json_schema(by_alias=True))
    # A path of this machine.
    del tree["properties"]["schema"]["default"]
    for key, meaning in _meanings(page).items():
        _describe(tree, key.split("."), meaning)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A pipeline file of Kindred"}
    return json.dumps(head | tree, indent=1, ensure_ascii=False) + "\n"


def meaning_of(key: str) -> str | None:
    """Returns the meaning of a key of the pipeline file, such as `train.epochs`, or of the key that describes it."""
    tree = schema = _written()
    meaning = None
    for name in key.split("."):
        schema = _resolved(tree, schema) if "properties" not in schema else schema
        schema = schema["properties"][name]
        meaning = schema.get("description", meaning)
    return meaning


@functools.cache
def _written() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return tree


def _clean(schema: Any, are_names: bool = False) -> Any:
    """Returns a schema without generated titles, and with the limits of JSON Schema.

    Args:
      schema: a schema, or a part of one.
      are_names: whether the keys are names of settings or models.
    """
    if isinstance(schema, list):
        return [_clean(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if are_names:
        return {key: _clean(value) for key, value in schema.items()}
    return {
        _LIMITS.get(key, key): value if key == "default" else _clean(value, key in ("properties", "$defs"))
        for key, value in schema.items()
        if key != "title"
    }


def _meanings(page: str) -> Mapping[str, str]:
    """Returns the meaning of each key in the first table of the page. One row can describe several keys."""
    table = page[: page.index("\n\n", page.index("| `name` |"))]
    return {
        key: _LINK.sub(r"\1", row["meaning"])
        for row in _ROW.finditer(table + "\n")
        for key in re.findall(r"`([^`]+)`", row["keys"])
    }


def _describe(tree: dict[str, Any], key: list[str], meaning: str) -> None:
    """Sets the description of a key. A reference with a description keeps its other keywords."""
    schema = tree
    for name in key[:-1]:
        schema = _resolved(tree, schema["properties"][name])
    schema["properties"][key[-1]]["description"] = meaning


def _resolved(tree: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the model that a schema refers to."""
    reference = schema.get("$ref") or next(one["$ref"] for one in schema["anyOf"] if "$ref" in one)
    found: dict[str, Any] = tree["$defs"][reference.rpartition("/")[2]]
    return found


if __name__ == "__main__":
    FILE.write_text(generate(_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
