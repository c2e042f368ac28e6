"""`python -m bootstrap.flink up|down|status`: starts, stops or lists the processes of a local Flink cluster."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bootstrap.flink.cluster import FlinkCluster, Ports
from bootstrap.flink.errors import FlinkError
from kindred.invocation import command

FOLDER = Path(__file__).parent.parent.parent / "build" / "flink"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns the exit code."""
    options = _parser().parse_args(arguments)
    cluster = FlinkCluster(options.folder, Ports(*options.ports))
    try:
        if options.action == "up":
            cluster.up(_say)
            _say(f"Next: {command('run', '--beam', 'flink', '--config', 'FILE')}")
            _say("`make flink-down` stops the cluster.")
        elif options.action == "down":
            stopped = cluster.down()
            _say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
        else:
            for process in cluster.processes:
                running = process.running()
                _say(f"{process.name:<16} {f'pid {running.pid}' if running else 'not running'}")
            return 0 if all(process.running() for process in cluster.processes) else 1
    except FlinkError as error:
        _say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("Interrupted. Run `make flink-down` to stop the started processes.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bootstrap.flink", description=str(__doc__))
    parser.add_argument("action", choices=("up", "down", "status"))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="working directory (default: build/flink)")
    parser.add_argument("--ports", type=_ports, default=(), help="REST,RPC,JOBS,ARTIFACTS,WORKERS")
    return parser


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(port) for port in text.split(","))
    if len(ports) != 5 or len(set(ports)) != 5 or not all(0 < port < 65536 for port in ports):
        raise argparse.ArgumentTypeError("must be five different ports, separated by commas")
    return ports


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
