"""The probes of the child process: imports of libraries and of Kindred's modules, and each node of a complete graph.

python -m pipeline.commands.doctor.probes RECORD
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from compat.process import prepare
from kindred import PACKAGES
from pipeline.commands.doctor.check import ROOT, Check, install_again, repair_libraries, restore_code
from pipeline.commands.doctor.child import is_of_the_c_library
from pipeline.running.code_digest import PROGRAMS, this_program

if TYPE_CHECKING:
    from tfx.proto.orchestration import pipeline_pb2

Probe = Callable[[], str]
"""Returns the observed state, or raises."""

LIBRARIES = ("tensorflow_transform", "tensorflow_data_validation", "tensorflow_model_analysis", "apache_beam", "kfp")

WHOLE_GRAPH = {
    "name": "doctor",
    "data": {"path": "pairs.csv"},
    "train": {"warm_start": True},
    "tune": {"trials": 1},
    "evaluate": {"metrics": ["rmse", "recall@10"]},
    "publish": {"replay": "requests"},
}
"""A pipeline file with every optional node."""


def probe_all(record: Path) -> None:
    """Runs every probe. Writes two JSON lines to `record` per probe: `[name]` at its start, its check at its end."""
    with record.open("w") as out:
        for name, probe in probes():
            print(json.dumps([name]), file=out, flush=True)
            print(json.dumps(dataclasses.astuple(tried(name, probe))), file=out, flush=True)


def tried(name: str, probe: Probe) -> Check:
    """Returns the outcome of one probe."""
    try:
        return Check(name, True, probe())
    except Exception as error:  # a library may raise any exception while it loads
        return Check(name, False, described(error), _fix(error))


def probes() -> Iterator[tuple[str, Probe]]:
    """Yields every probe with its name. Nodes follow once the probe of the graph has succeeded."""
    yield "import tensorflow", functools.partial(_version, "tensorflow")
    yield "import keras", probe_keras
    for module in LIBRARIES:
        yield f"import {module}", functools.partial(_version, module)
    yield "metadata store", _probe_metadata
    for package in PACKAGES:
        yield package, functools.partial(probe_modules, package)
    for program in PROGRAMS:
        yield program, functools.partial(probe_program, program)
    compiled: list[pipeline_pb2.Pipeline] = []
    yield "graph", functools.partial(_probe_graph, compiled)
    for graph in compiled:
        for entry in graph.nodes:
            yield entry.pipeline_node.node_info.id, functools.partial(probe_node, graph, entry.pipeline_node)


def _version(module: str) -> str:
    return str(getattr(importlib.import_module(module), "__version__", "imported"))


def probe_keras() -> str:
    """Imports Keras, which must be Keras 3."""
    version = _version("keras")
    if not version.startswith("3."):
        raise RuntimeError(f"`import keras` gives Keras {version}, but the trainer needs Keras 3")
    return version


def _probe_metadata() -> str:
    """Opens a store in memory and writes a type, because an import alone does not call the native library."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    store = metadata_store.MetadataStore(config)
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Pairs"))
    return f"opened in memory, {len(store.get_artifact_types())} type written"


class ModulesBroken(Exception):
    """Some modules of this program cannot be imported. `causes` has the distinct errors."""

    def __init__(self, causes: list[Exception]) -> None:
        super().__init__("; ".join(map(described, causes)))
        self.causes = causes


def probe_modules(package: str) -> str:
    """Imports every module of a package.

    Raises:
      ModulesBroken: some modules cannot be imported.
    """
    modules = [name for name in this_program().modules if name.split(".")[0] == package]
    # One broken module fails all modules that import it. Its error is reported once.
    causes = {described(error): error for error in map(_import_error, modules) if error}
    if causes:
        raise ModulesBroken(list(causes.values()))
    return f"{len(modules)} modules imported"


def _import_error(module: str) -> Exception | None:
    try:
        importlib.import_module(module)
    except Exception as error:  # a module may raise anything
        return error
    return None


def probe_program(program: str) -> str:
    """Finds a program that a node starts by name."""
    path = Path(sys.executable).with_name(program)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    return str(path)


def _probe_graph(compiled: list[pipeline_pb2.Pipeline]) -> str:
    """Compiles a graph with every optional node and stores it in `compiled`."""
    from pipeline.config import PipelineConfig
    from pipeline.records.root import Root
    from pipeline.running.graph import compile_graph, create_pipeline

    with tempfile.TemporaryDirectory() as folder:
        graph = compile_graph(create_pipeline(PipelineConfig.model_validate(WHOLE_GRAPH), Root(Path(folder))), "doctor")
    compiled.append(graph)
    return f"{len(graph.nodes)} nodes"


def probe_node(graph: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> str:
    """Loads the executor, the driver, the resolver strategies and the functions of a node."""
    from pipeline.running.node_code import code_names

    names = code_names(graph, node)
    for name in names:
        module, _, attribute = name.rpartition(".")
        if not callable(getattr(importlib.import_module(module), attribute)):
            raise TypeError(f"{name} is neither a class nor a function")
    return ", ".join(names)


def described(error: Exception) -> str:
    """Returns the first line of an error and its location in this program's own files."""
    if isinstance(error, ModulesBroken):
        return str(error)
    place = _place(error)
    message = error.msg if isinstance(error, SyntaxError) else str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}" + (f" ({place})" if place else "")


def _place(error: Exception) -> str:
    """Returns the innermost line of this program's own files in the traceback of an error."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    for file, line in reversed(frames):
        path = Path(file)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES and path != Path(__file__):
            return f"{path.relative_to(ROOT)}, line {line}"
    return ""


def _fix(error: Exception) -> str:
    if isinstance(error, ModulesBroken):
        return " ".join(dict.fromkeys(map(_fix, error.causes)))
    if is_of_the_c_library(str(error)):
        return repair_libraries()
    return restore_code() if _is_of_our_code(error) else install_again()


def _is_of_our_code(error: Exception) -> bool:
    """Returns whether this program's own files cause the error, not a missing or broken library."""
    if isinstance(error, ImportError) and error.name:
        return error.name.split(".")[0] in PACKAGES
    return bool(_place(error))


if __name__ == "__main__":
    prepare()
    probe_all(Path(sys.argv[1]))
