"""What the commands about Kubeflow do, between the command line and the modules that do the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import load_config
from pipeline.errors import ConfigError

_TARGETS = ("kubeflow", "vertex")


def compile_to(
    config: Path, output: Path, data: str | None, overrides: Sequence[str], beam_profile: str, target: str
) -> None:
    """Compiles pipeline file `config` into the file `output`, which appears whole or not at all.

    Raises:
      ConfigError: the pipeline file, an option or the graph cannot be compiled.
    """
    if target not in _TARGETS:
        raise ConfigError(f"--target: must be {' or '.join(_TARGETS)} (got {target!r})")
    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output: must end in .yaml, as Kubeflow goes by the name (got {str(output)!r})")
    pipeline_config = load_config(config, overrides, data)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Imports TFX and the kfp SDK, seconds that a wrong option does not cost.
    from pipeline.kubeflow.compiler import compile_package

    write_whole(output, compile_package(pipeline_config, beam_profile))


def write_whole(path: Path, text: str) -> None:
    """Writes `text` beside `path` and renames it.

    Raises:
      ConfigError: it cannot be written there.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise ConfigError(f"--output {path}: cannot be written ({error.strerror}); give another file") from None
