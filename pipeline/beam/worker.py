"""Fast Beam workers: one process imports everything, and each worker is a fork of it.

The pool (`pipeline.beam.pool`) runs this module. It writes a JSON line for each new worker: `id`, `control` (the
address of the task manager) and `log` (a file for the worker's output). The answer is a line with the pid.
"""

from __future__ import annotations

import json
import os
import signal
import sys

# Imports all modules of the components' steps once. The imports must start no thread, because a fork inherits only the
# forking thread.
import apache_beam.runners.worker.sdk_worker as sdk_worker

import components.pair_example_gen.stages
import components.pair_statistics.executor
import components.pair_transform.executor  # noqa: F401


def main() -> None:
    """Forks workers until the input ends."""
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    # The system reaps ended children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", file=answers)
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if not pid:
            answers.close()
            _work(wanted["id"], wanted["control"], wanted["log"])
        print(pid, file=answers)


def _work(worker_id: str, control: str, log: str) -> None:
    """Runs a worker until the task manager closes the connection. Does not return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sdk_worker.SdkHarness(control, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=-1).run()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
