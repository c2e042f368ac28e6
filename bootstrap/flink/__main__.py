"""`python -m bootstrap.flink up|down|status`: what `make flink-up` and `make flink-down` call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bootstrap.flink.cluster import Cluster, Ports
from bootstrap.flink.errors import FlinkError

FOLDER = Path(__file__).parent.parent.parent / "build" / "flink"


def main(arguments: list[str] | None = None) -> int:
    """Does what the command line says; the exit code."""
    told = _parser().parse_args(arguments)
    cluster = Cluster(told.folder, Ports(*told.ports))
    try:
        if told.action == "up":
            cluster.up(_say)
            _say("Now: kindred run --beam flink ...; `make flink-down` stops everything.")
        elif told.action == "down":
            stopped = cluster.down()
            _say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
        else:
            for process in cluster.processes:
                found = process.running()
                _say(f"{process.name:<16} {f'pid {found.pid}' if found else 'not running'}")
            return 0 if all(process.running() for process in cluster.processes) else 1
    except FlinkError as error:
        _say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted; `make flink-down` stops what has been started")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bootstrap.flink", description=str(__doc__))
    parser.add_argument("action", choices=("up", "down", "status"))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="packages, pid files and logs; build/flink")
    parser.add_argument("--ports", type=_ports, default=(), help="REST,RPC,JOBS,ARTIFACTS,WORKERS")
    return parser


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(port) for port in text.split(","))
    if len(ports) != 5 or len(set(ports)) != 5 or not all(0 < port < 65536 for port in ports):
        raise argparse.ArgumentTypeError("five different ports, separated by commas")
    return ports


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
