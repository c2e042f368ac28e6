"""Looks whether everything that a run needs is here, and says how to mend what is not: `make doctor`.

TFX hides a component that cannot be imported: `tfx.components` sets its name to None and goes on. So every class that
the graph is made of is imported from the module it lives in. That happens in a child process: what the libraries say
while they load stays off the screen, and one that takes Python down with it (a module built for another C library)
becomes a line of the report.

    diagnose()                                the checks, as data
    main(), `python -m pipeline.commands.doctor`       the same for people; 0 healthy, 1 otherwise
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bootstrap import glibc

ROOT = Path(__file__).resolve().parents[2]

COMPONENTS: Mapping[str, str] = {
    "CsvExampleGen": "tfx.components.example_gen.csv_example_gen.component",
    "ImportExampleGen": "tfx.components.example_gen.import_example_gen.component",
    "StatisticsGen": "tfx.components.statistics_gen.component",
    "SchemaGen": "tfx.components.schema_gen.component",
    "ImportSchemaGen": "tfx.components.schema_gen.import_schema_gen.component",
    "ExampleValidator": "tfx.components.example_validator.component",
    "Transform": "tfx.components.transform.component",
    "Tuner": "tfx.components.tuner.component",
    "Trainer": "tfx.components.trainer.component",
    "Evaluator": "tfx.components.evaluator.component",
    "InfraValidator": "tfx.components.infra_validator.component",
    "Pusher": "tfx.components.pusher.component",
}
"""The TFX components that graphs are made of, each with the module it lives in."""

PARTS: Mapping[str, str] = {
    "Resolver": "tfx.dsl.components.common.resolver",
    "Importer": "tfx.dsl.components.common.importer",
    "Pipeline": "tfx.orchestration.pipeline",
    "LocalDagRunner": "tfx.orchestration.local.local_dag_runner",
}
"""What else of TFX a graph and its local run take, each with the module it lives in."""

DISTRIBUTIONS = (
    "tfx",
    "tensorflow",
    "keras",
    "tensorflow-transform",
    "tensorflow-data-validation",
    "tensorflow-model-analysis",
    "tfx-bsl",
    "ml-metadata",
    "apache-beam",
    "kfp",
    "protobuf",
    "numpy",
    "pyarrow",
)
"""The packages that must be installed, and whose versions the report shows; the lock is compared with others too."""

PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))
LEAST_DISK = 2 * 10**9
"""Bytes. A run of a million pairs leaves about 0.3 GB; below 2 GB a few runs fill the disk."""
LEAST_MEMORY = 3 * 10**9
"""Bytes. The libraries alone take 1 GB once loaded, and a run holds the pairs and the tables beside them."""

SET_UP_AGAIN = "Remove .venv and run `make doctor`: it is made again from the lock."


@dataclass(frozen=True)
class Check:
    """One thing looked at: `found` is what is there; `mend` says in one sentence what to do when it is not `ok`."""

    name: str
    ok: bool
    found: str
    mend: str = ""


def diagnose(root: Path = ROOT) -> list[Check]:
    """Makes every check; `root` is the repository: its lock is compared with, and the disk under it is measured."""
    return [
        check_python(sys.version_info[:2], platform.python_implementation()),
        check_disk(shutil.disk_usage(root).free, root),
        check_memory(memory_bytes()),
        Check("cores", True, str(core_count())),
        check_repair(glibc.status(Path(sysconfig.get_path("platlib")))),
        *check_versions(installed_versions(), read_lock(root / "uv.lock")),
        *check_imports(),
    ]


# --- the machine ----------------------------------------------------------------------------------------------------


def check_python(version: tuple[int, ...], implementation: str) -> Check:
    """Whether `.venv` is made of a supported Python."""
    ok = version in PYTHONS and implementation == "CPython"
    found = f"{implementation} {platform.python_version()} ({platform.system()}, {platform.machine()})"
    return Check("Python", ok, found, "Set up with a supported Python: `make PYTHON=python3.12 doctor`.")


def check_disk(free: int, root: Path) -> Check:
    """Whether runs have room for what they leave: `free` bytes."""
    mend = f"Free at least {LEAST_DISK / 1e9:.0f} GB, of old runs under build/ for instance."
    return Check("disk", free >= LEAST_DISK, f"{free / 1e9:.1f} GB free under {root}", mend)


def check_memory(size: int) -> Check:
    """Whether the libraries and a small run fit into `size` bytes of memory."""
    mend = f"Run on a machine, or in a container, with at least {LEAST_MEMORY / 1e9:.0f} GB of memory."
    return Check("memory", size >= LEAST_MEMORY, f"{size / 1e9:.1f} GB", mend)


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or its container's limit when that is lower."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def core_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def check_repair(status: glibc.RepairStatus) -> Check:
    """Whether the two TFX modules that are built for a newer C library can be loaded here."""
    mend = "Run `.venv/bin/python bootstrap/glibc.py`."
    if status.state is glibc.State.NOT_INSTALLED:
        mend = SET_UP_AGAIN
    return Check("C library", status.healthy, str(status), mend)


# --- versions -------------------------------------------------------------------------------------------------------


def read_lock(path: Path) -> dict[str, set[str]] | None:
    """The versions that the lock at `path` allows, by package (forks for several Pythons make it more than one).

    None where there is no lock: in a container, say, that has Kindred installed and no repository. Read by its lines,
    since Python 3.10 has no TOML parser and uv writes a package's name and version always in this form.
    """
    if not path.is_file():
        return None
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(
        r'^\[\[package\]\]\nname = "(.+)"\nversion = "(.+)"$', path.read_text(), re.MULTILINE
    ):
        versions.setdefault(name, set()).add(version)
    return versions


def installed_versions() -> dict[str, str]:
    """The version of every installed package, by normalized name."""
    found = ((d.metadata["Name"], d.version) for d in importlib.metadata.distributions())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found if name}


def check_versions(installed: Mapping[str, str], locked: Mapping[str, set[str]] | None) -> Iterator[Check]:
    """One check per package of `DISTRIBUTIONS`, and one for all others that are `installed` and `locked`."""
    locked_here = locked or {}
    for name in DISTRIBUTIONS:
        yield _check_version(name, installed.get(name), locked_here.get(name))
    others = {name: version for name, version in installed.items() if name in locked_here and name not in DISTRIBUTIONS}
    wrong = [f"{name} {version}" for name, version in sorted(others.items()) if version not in locked_here[name]]
    found = f"not as locked: {', '.join(wrong)}" if wrong else f"{len(others)}, all as locked"
    yield Check("other packages", not wrong, found if locked else "no uv.lock to compare with", SET_UP_AGAIN)


def _check_version(name: str, installed: str | None, locked: set[str] | None) -> Check:
    if installed is None:
        return Check(name, False, "not installed", SET_UP_AGAIN)
    if locked and installed not in locked:
        return Check(name, False, f"{installed}, locked at {' or '.join(sorted(locked))}", SET_UP_AGAIN)
    return Check(name, True, installed)


# --- imports --------------------------------------------------------------------------------------------------------


def probes() -> dict[str, Callable[[], str]]:
    """What the child process tries, in this order: each returns what it found, or raises."""
    modules = ("tensorflow_transform", "tensorflow_data_validation", "tensorflow_model_analysis", "apache_beam", "kfp")
    return {
        "import tensorflow": lambda: _version("tensorflow"),
        "import keras": _probe_keras,
        **{f"import {module}": lambda module=module: _version(module) for module in modules},  # type: ignore[misc]
        "metadata store": _probe_metadata,
        **{name: lambda n=name, m=module: _probe_class(n, m) for name, module in PARTS.items()},  # type: ignore[misc]
        **{name: lambda n=name, m=module: _probe_component(n, m) for name, module in COMPONENTS.items()},  # type: ignore[misc]
    }


def _version(module: str) -> str:
    return str(getattr(importlib.import_module(module), "__version__", "imported"))


def _probe_keras() -> str:
    version = _version("keras")
    if not version.startswith("3."):
        raise RuntimeError(f"`import keras` gives Keras {version}, and the trainer is written for Keras 3")
    return version


def _probe_metadata() -> str:
    """Opens a store in memory and puts a type in: an import alone does not call into the native library."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    store = metadata_store.MetadataStore(config)
    pairs = metadata_store_pb2.ArtifactType(name="Pairs")
    store.put_artifact_type(pairs)
    return f"opened in memory, {len(store.get_artifact_types())} type written"


def _probe_class(name: str, module: str) -> str:
    if not isinstance(getattr(importlib.import_module(module), name), type):
        raise RuntimeError(f"{module}.{name} is not a class")
    return module


def _probe_component(name: str, module: str) -> str:
    where = _probe_class(name, module)
    if vars(importlib.import_module("tfx.components")).get(name, where) is None:  # not all are exported there
        raise RuntimeError(f"tfx.components.{name} is None: an import that it needs failed there")
    return where


def probe_all(record: Path, wanted: Mapping[str, Callable[[], str]]) -> None:
    """Tries every probe and writes to `record`, a JSON line each: [name] when it begins, [name, ok, found] after it."""
    with record.open("w") as out:
        for name, probe in wanted.items():
            print(json.dumps([name]), file=out, flush=True)
            try:
                answer = (name, True, probe())
            except Exception as error:  # whatever a library raises while it loads is what the report is for
                answer = (name, False, f"{type(error).__name__}: {error}".splitlines()[0])
            print(json.dumps(answer), file=out, flush=True)


def check_imports(
    command: tuple[str, ...] = (sys.executable, "-m", "pipeline.commands.doctor", "--probe"),
) -> list[Check]:
    """Runs the probes in a child process (`command` plus the file to write to) and reads what it recorded."""
    with tempfile.TemporaryDirectory() as folder:
        record, chatter = Path(folder, "record"), Path(folder, "chatter")
        with chatter.open("wb") as sink:
            code = subprocess.call([*command, str(record)], stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        lines = record.read_text().splitlines() if record.exists() else []
        said = chatter.read_text(errors="replace").strip().splitlines()[-1:]
    return read_record([json.loads(line) for line in lines], code, said[0] if said else "")


def read_record(lines: list[list[object]], code: int, said: str) -> list[Check]:
    """The checks that the child recorded, and what it was at when it ended with exit `code`, if it did not finish."""
    checks = [
        Check(str(name), bool(ok), str(found), _mend(str(found))) for name, ok, found in filter(_is_answer, lines)
    ]
    if code != 0:
        begun = str(lines[-1][0]) if lines else "imports"
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        checks.append(Check(begun, False, f"Python died of {end}: {said}", _mend(said)))
    return checks


def _is_answer(line: list[object]) -> bool:
    return len(line) > 1


def _mend(found: str) -> str:
    if "GLIBC" in found or "CXXABI" in found:
        return "Run `.venv/bin/python bootstrap/glibc.py`."
    return SET_UP_AGAIN


# --- for people -----------------------------------------------------------------------------------------------------


def render(checks: list[Check], console: Console) -> None:
    """Prints a line per check, and what to do about those that failed."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        verdict = "[green]ok    [/]" if check.ok else "[red]FAILED[/]"
        console.print(f"{verdict}  {check.name:{width}}  {escape(check.found)}", soft_wrap=True)
    failed = [check for check in checks if not check.ok]
    for mend in dict.fromkeys(check.mend for check in failed):  # one cause fails many checks: say its cure once
        names = ", ".join(check.name for check in failed if check.mend == mend)
        console.print(f"[red]{escape(names)}:[/] {escape(mend)}", soft_wrap=True)
    console.print(f"[red]{len(failed)} of {len(checks)} checks failed.[/]" if failed else "[green]Healthy.[/]")


def main() -> int:
    """Prints the diagnosis; returns 0 when healthy, 1 otherwise."""
    checks = diagnose()
    render(checks, Console())
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--probe"]:
        probe_all(Path(sys.argv[2]), probes())
        sys.exit(0)
    sys.exit(main())
