"""A run with its root in an object store on loopback, compared with the same run in a directory.

    python -m benchmarks.object_store [--rows 1000000] [--epochs 3] [--runs 3] [--server versitygw]

Planted pairs, d = 32, batches of 4096, as in `benchmarks.pipeline`. Runs are interleaved. Each is measured from process
start to exit, in a new root. `again` is a second run on a machine with an empty disk. It downloads what the cache
needs. `processor` is the time on the processor, without the server, which other load changes little.

The server is versitygw (`go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`) if it is installed, otherwise
moto. Both run on the same cores as the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import pairs_of, pipeline_file

_KINDS = ("directory", "store", "again")
_BUCKET = "benchmark"
_KEY, _SECRET = "loopback", "loopback-secret"


def main() -> None:
    """Measures. Prints a line per run, then the result."""
    arguments = _arguments()
    data = pairs_of(Path(arguments.cache), arguments.rows)
    seconds: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    processor: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    with tempfile.TemporaryDirectory() as folder, _server(arguments.server, Path(folder)) as endpoint:
        config = Path(folder, "pipeline.yaml")
        config.write_text(pipeline_file(data, arguments.epochs))
        for number in range(arguments.runs):
            roots = dict.fromkeys(_KINDS, f"s3://{_BUCKET}/root-{number}")
            roots["directory"] = f"{folder}/root-{number}"
            for kind, root in roots.items():
                machine = Path(folder, f"machine-{kind}-{number}")
                for times, measured in zip((seconds, processor), _run(config, root, endpoint, machine), strict=True):
                    times[kind].append(measured)
                shutil.rmtree(machine, ignore_errors=True)
                took = f"{seconds[kind][-1]:.1f} s, {processor[kind][-1]:.1f} s of the processor"
                print(f"run {number + 1}: {kind}: {took}", flush=True)
    result = {"benchmark": "object_store", **_summary(seconds), "processor": _summary(processor), "unit": "s"}
    result |= {"server": arguments.server, "n": arguments.rows, "epochs": arguments.epochs, "runs": arguments.runs}
    print(json.dumps(result))


def _summary(times: dict[str, list[float]]) -> dict[str, float]:
    medians = {kind: round(statistics.median(found), 2) for kind, found in times.items()}
    return {"ratio": round(medians["store"] / medians["directory"], 2), **medians}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.object_store", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each run (default: 3)")
    parser.add_argument("--runs", type=int, default=3)
    installed = "versitygw" if shutil.which("versitygw") else "moto"
    parser.add_argument("--server", choices=("versitygw", "moto"), default=installed)
    parser.add_argument("--cache", default="build/bench", help="directory of generated files")
    return parser.parse_args()


def _run(config: Path, root: str, endpoint: str, machine: Path) -> tuple[float, float]:
    """Returns the seconds of the process from start to exit, and on the processor.

    Raises:
      SystemExit: the run failed. The message has the end of its output.
    """
    command = [sys.executable, "-m", "kindred", "run", "--config", str(config), "--root", root]
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KINDRED_CACHE": str(machine),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    since, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds, after = time.monotonic() - since, resource.getrusage(resource.RUSAGE_CHILDREN)
    if finished.returncode:
        sys.exit(f"{root} failed with exit code {finished.returncode}:\n{finished.stderr[-4000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextlib.contextmanager
def _server(name: str, folder: Path) -> Iterator[str]:
    """Starts an S3 server with an empty bucket on loopback, and yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "buckets" / _BUCKET).mkdir(parents=True)
    commands = {
        "versitygw": ["versitygw", "--port", f"127.0.0.1:{port}", "posix", str(folder / "buckets")],
        "moto": [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
    }
    access = os.environ | {"ROOT_ACCESS_KEY": _KEY, "ROOT_SECRET_KEY": _SECRET}
    with subprocess.Popen(commands[name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=access) as process:
        try:
            _wait_for(port)
            if name == "moto":
                bucket = urllib.request.Request(f"http://127.0.0.1:{port}/{_BUCKET}", method="PUT")
                urllib.request.urlopen(bucket, timeout=60).close()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit("the S3 server did not start")


if __name__ == "__main__":
    main()
