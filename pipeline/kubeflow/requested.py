"""The package, the server and the credentials that the options of a command name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ConfigError
from kindred.invocation import command
from pipeline.kubeflow.options import Access, RunOptions

if TYPE_CHECKING:
    from pipeline.kubeflow.client import KubeflowClient
    from pipeline.kubeflow.package import Package


def compile_file(config: Path, data: str | None, overrides: Sequence[str], beam: str | None) -> str:
    """Returns the package of a pipeline file.

    Args:
      config: the pipeline file.
      data: replaces `data.path`, or None.
      overrides: values of `--set`.
      beam: replaces `beam.profile`, or None.

    Raises:
      ConfigError: a key breaks a rule.
    """
    from pipeline.config import load_config
    from pipeline.running.console import redirect_output

    pipeline_config = load_config(config, overrides, data, beam)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TFX and the kfp SDK take seconds to import and print many lines.
    with redirect_output(Path(os.devnull)):
        from pipeline.kubeflow.compiler import compile_package

        return compile_package(pipeline_config)


def package_of(run: RunOptions) -> tuple[Package, str | None, dict[str, Any]]:
    """Returns the package, the service account, and the parameters of the run.

    With a pipeline file, a key in `--set` becomes a run parameter if it can, so that one package serves every value.
    Other keys are compiled into the package.

    Raises:
      ConfigError: a setting breaks a rule, or the package cannot be read.
    """
    from pipeline.config import load_config
    from pipeline.kubeflow.package import read_package, run_values
    from pipeline.kubeflow.parameters import DATA_PATH, is_parameter

    config, settings = run.config, run.set_ or []
    if (config is None) == (run.package is None):
        raise ConfigError("give exactly one of --config and --package")
    if run.package is not None:
        compiled = read_package(_read(run.package), str(run.package))
        values = run_values(compiled, settings) | ({DATA_PATH: run.data} if run.data else {})
        return compiled, run.service_account, values
    assert config is not None
    # Check all settings before anything is sent, whether they are parameters or not.
    account = run.service_account or load_config(config, settings, run.data).kubeflow.service_account
    plain = load_config(config, (), run.data)
    into_run = [setting for setting in settings if is_parameter(plain, setting.partition("=")[0])]
    into_package = [setting for setting in settings if setting not in into_run]
    compiled = read_package(compile_file(config, run.data, into_package, None), str(config))
    return compiled, account, run_values(compiled, into_run)


def connect(access: Access) -> KubeflowClient:
    """Returns a client of the server."""
    from pipeline.kubeflow.client import KubeflowClient

    return KubeflowClient(access)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        compiling = command("compile", "--config", "FILE", "--output", path)
        raise ConfigError(f"--package {path}: cannot be read ({error}); compile one with `{compiling}`") from None
