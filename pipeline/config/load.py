"""Reads pipeline files and applies overrides of the command line."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pydantic

from components.pair_example_gen.files import is_remote
from errors import ConfigError
from pipeline.config import faults, yaml_file
from pipeline.config.pipeline_file import PipelineConfig
from pipeline.config.sections.beam import PROFILES, Beam


def load_config(
    path: Path, overrides: Sequence[str] = (), data_path: str | None = None, beam_profile: str | None = None
) -> PipelineConfig:
    """Reads and validates a pipeline file.

    Args:
      path: the YAML file. Relative paths in it are relative to its directory.
      overrides: a list of `section.key=value`, which replace values of the file. Each value is parsed as YAML.
      data_path: replaces `data.path`. A relative path is relative to the working directory.
      beam_profile: replaces `beam.profile`.

    Raises:
      ConfigError: the file cannot be read, is not YAML, or breaks a rule. The message lists every fault with its key,
        the rule and the value.

    Example: `load_config(Path("pipeline.yaml"), ["train.epochs=5"], data_path="pairs.csv")`
    """
    config = _validate(_read_resolved(path, overrides, data_path), str(path))
    return config.model_copy(update={"beam": _with_profile(config.beam, beam_profile)})


_INPUT_SECTIONS = ("data", "schema", "storage")


def load_input_sections(path: Path, overrides: Sequence[str], data_path: str | None) -> PipelineConfig | None:
    """Returns the sections of a pipeline file about input, with the defaults of all others, or None if they are wrong.

    With it, the input can be checked although another section has a fault. The arguments are those of `load_config`.
    """
    try:
        tree = _read_resolved(path, overrides, data_path)
        return _validate({"name": "input", **{key: tree[key] for key in _INPUT_SECTIONS if key in tree}}, str(path))
    except ConfigError:
        return None


def build_config(tree: dict[str, Any], overrides: Sequence[str], source: str) -> PipelineConfig:
    """Builds a configuration from a tree of `PipelineConfig.to_json`.

    Args:
      tree: nested sections.
      overrides: as in `load_config`.
      source: the name of the configuration in error messages.

    Raises:
      ConfigError: an override breaks a rule.
    """
    tree = copy.deepcopy(tree)
    for override in overrides:
        _apply(tree, override)
    return _validate(tree, source)


def _read_resolved(path: Path, overrides: Sequence[str], data_path: str | None) -> dict[str, Any]:
    """Reads a pipeline file, applies overrides, and makes its paths absolute."""
    tree = _read(path)
    for override in overrides:
        _apply(tree, override)
    _resolve_paths(tree, path.parent, data_path)
    return tree


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such pipeline file. Set --config to an existing file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the pipeline file cannot be read: {error}") from None
    tree = yaml_file.parse(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: a pipeline file is a mapping with at least `name` and `data.path`")
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    """Applies one `section.key=value` to the tree."""
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override!r}: must have the form section.key=value, such as train.epochs=5")
    for part in parts[:-1]:
        if tree.get(part) is None:
            tree[part] = {}
        tree = tree[part]
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is not a section")
    tree[parts[-1]] = yaml_file.parse(text, f"--set {override!r}")


def _resolve_paths(tree: dict[str, Any], base: Path, data_path: str | None) -> None:
    """Makes all paths of input files absolute, and removes `file://`."""
    if isinstance(tree.get("schema"), str):
        tree["schema"] = _absolute(base, tree["schema"])
    for section, key in (("train", "module_file"), ("evaluate", "candidates"), ("storage", "ca_file")):
        keys = tree.get(section)
        if isinstance(keys, dict) and isinstance(keys.get(key), str) and keys[key]:
            keys[key] = _absolute(base, keys[key])
    publish = tree.get("publish")
    if isinstance(publish, dict) and isinstance(publish.get("to"), str):
        publish["to"] = _without_scheme(publish["to"])
    if isinstance(publish, dict):
        _resolve_logs(base, publish)
    if tree.get("data") is None and data_path is not None:
        tree["data"] = {}
    data = tree.setdefault("data", {})
    if isinstance(data, dict):
        if data_path is not None:
            data["path"] = _absolute(Path.cwd(), data_path)
        elif isinstance(data.get("path"), str) and data["path"]:
            data["path"] = _absolute(base, data["path"])
        for features in (data.get("left_features"), data.get("right_features")):
            if isinstance(features, dict) and isinstance(features.get("path"), str) and features["path"]:
                features["path"] = _absolute(base, features["path"])


def _resolve_logs(base: Path, publish: dict[str, Any]) -> None:
    """Makes paths of request logs absolute. Section `replay` can be the path itself."""
    replay, watch = publish.get("replay"), publish.get("watch")
    owners = [(replay, "log") if isinstance(replay, dict) else (publish, "replay"), (watch, "log")]
    for owner, key in owners:
        if isinstance(owner, dict) and isinstance(owner.get(key), str) and owner[key]:
            owner[key] = _absolute(base, owner[key])


def _absolute(base: Path, path: str) -> str:
    """Returns `path` relative to `base`, without `~` and `file://`. Another URL is returned unchanged."""
    path = os.path.expanduser(_without_scheme(path))
    return path if is_remote(path) else os.path.normpath(Path(base.resolve(), path))


def _without_scheme(path: str) -> str:
    return unquote(urlsplit(path).path) if path.startswith("file:") else path


def _with_profile(settings: Beam, profile: str | None) -> Beam:
    """Returns `settings` with the profile of the command line, or unchanged if it is None.

    Raises:
      ConfigError: the profile is unknown, or the section lacks a key that it needs.
    """
    if profile is None:
        return settings
    if profile not in PROFILES:
        raise ConfigError(f"--beam {profile}: unknown profile. Choose from {', '.join(PROFILES)}")
    try:
        return Beam.model_validate(settings.model_dump(exclude_unset=True) | {"profile": profile})
    except pydantic.ValidationError as error:
        raise ConfigError(f"--beam {profile}: beam.{faults.rule(error.errors()[0])}") from None


def _validate(tree: dict[str, Any], source: str) -> PipelineConfig:
    try:
        return PipelineConfig.model_validate(tree)
    except pydantic.ValidationError as error:
        texts = (faults.describe(fault, PipelineConfig) for fault in error.errors())
        found = dict.fromkeys(line for text in texts for line in text.splitlines())
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in found)) from None
