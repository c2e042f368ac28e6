"""YAML of pipeline files."""

from __future__ import annotations

import contextlib
import json
import math
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from errors import ConfigError
from pipeline.config import yaml_file

KEYS = st.text(string.ascii_letters + string.digits + "_-. é", min_size=1, max_size=8)
PLAIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, blacklist_categories=("Cc", "Cs")), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PLAIN
TREES = st.recursive(
    SCALARS, lambda children: st.lists(children, max_size=3) | st.dictionaries(KEYS, children, max_size=3), max_leaves=8
)


@given(TREES)
def test_json_parses_as_yaml(tree: object) -> None:
    """JSON is YAML: numbers stay numbers, and text stays text."""
    assert yaml_file.parse(json.dumps(tree), "here") == tree


@pytest.mark.parametrize("text", ["0e0", "1e3", "+.5E-2", "1.5", "true", "null", "word"])
def test_dump_keeps_text(text: str) -> None:
    assert yaml_file.parse(yaml_file.dump({"name": text, "rate": 1e-5}), "here") == {"name": text, "rate": 1e-5}


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["e", "E"]))
@example(1e-3, "e")
@example(1e22, "e")
def test_exponents_are_numbers(number: float, letter: str) -> None:
    for text in (f"{number:e}", f"{number:.0e}", f"{number:+e}", f"{number!r}"):
        value = yaml_file.parse(f"rate: {text.replace('e', letter)}", "here")["rate"]
        assert isinstance(value, float)
        assert value == float(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5e1", 5.0),
        ("-2.e+2", -200.0),
        ("1e3x", "1e3x"),
        ("e3", "e3"),
        ("'1e3'", "1e3"),
    ],
)
def test_other_text_is_not_a_number(text: str, value: object) -> None:
    parsed = yaml_file.parse(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan_and_infinity_are_parsed() -> None:
    assert math.isnan(yaml_file.parse(".nan", "here"))
    assert yaml_file.parse("-.inf", "here") == -math.inf


@given(st.lists(KEYS, min_size=1, max_size=4, unique=True), st.data())
def test_duplicate_key_is_refused_at_any_depth(keys: list[str], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(keys))
    depth = data.draw(st.integers(0, 3))
    entries = [f"{json.dumps(key)}: 1" for key in [*keys, twice]]
    text = "{a: [" * depth + "{" + ", ".join(entries) + "}" + "]}" * depth
    with pytest.raises(ConfigError, match="duplicate key") as refused:
        yaml_file.parse(text, "here.yaml")
    assert repr(twice) in str(refused.value)
    yaml_file.parse(text.replace(f", {entries[-1]}}}", "}"), "here.yaml")


def test_duplicate_key_names_line_and_column() -> None:
    text = "name: a\ntrain:\n  epochs: 1\n  seed: 2\n  epochs: 3\n"
    with pytest.raises(ConfigError, match=r"^f\.yaml, line 5, column 3: not valid YAML: duplicate key 'epochs'$"):
        yaml_file.parse(text, "f.yaml")


@pytest.mark.parametrize(
    "text",
    ["a: [1", "a: b: c", "\ta: 1", "a: *nowhere", "? [a]\n: 1", "a: !!python/object:os.system x", "a\x00b", "- a\nb"],
)
def test_invalid_yaml_names_its_source(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml.*: not valid YAML: "):
        yaml_file.parse(text, "f.yaml")


@given(st.text(max_size=60))
def test_any_text_parses_or_raises_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        yaml_file.parse(text, "here")


def test_endless_nesting_is_refused() -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        yaml_file.parse("[" * 5000, "here")
