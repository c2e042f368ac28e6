"""The Python file of train.module_file. Its text travels to the Trainer, so tasks of a cluster need no copy."""

from __future__ import annotations

import ast
import traceback
import types
from collections.abc import Callable
from pathlib import Path

from tfx.components.trainer.fn_args_utils import FnArgs

from errors import ConfigError, KindredError, TrainingError
from trainer.own import contract

KEY = "module"
_FUNCTION = "run_fn"


def read(path: str) -> dict[str, str]:
    """Returns the value of `custom_config["module"]`: the name of the file, and its text.

    Raises:
      ConfigError: the file cannot be read, is no Python, or does not define `run_fn`.
    """
    try:
        source = Path(path).read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"train.module_file: {path}: cannot be read: {error}") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"train.module_file: {path}: is not Python: {error}") from None
    if not any(isinstance(node, ast.FunctionDef) and node.name == _FUNCTION for node in tree.body):
        raise ConfigError(f"train.module_file: {path}: must define the function run_fn(fn_args) (docs/guides)")
    return {"name": Path(path).name, "source": source}


def train(fn_args: FnArgs) -> None:
    """Calls the `run_fn` of the file, and checks the model that it wrote.

    Raises:
      TrainingError: the file raised an exception. The message has the line.
      ModelRefused: the model breaks the contract.
    """
    given = fn_args.custom_config[KEY]
    name = given["name"]
    try:
        _function(name, given["source"])(fn_args)
    except KindredError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        at = f"line {lines[-1]} of " if lines else ""
        raise TrainingError(f"train.module_file: {at}{name} raised {type(error).__name__}: {error}") from error
    contract.check(fn_args, name)


def _function(name: str, source: str) -> Callable[[FnArgs], None]:
    module = types.ModuleType(Path(name).stem)
    exec(compile(source, name, "exec"), vars(module))
    function: Callable[[FnArgs], None] = getattr(module, _FUNCTION)
    return function
