"""The command `kindred-model-server`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from compat.distributions import version
from compat.process import prepare
from kindred.terminal import log
from serving.model_server import flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until SIGTERM or SIGINT, then finishes running requests and exits with code 0.

    Args:
      arguments: the flags. Defaults to `sys.argv[1:]`.

    Raises:
      SystemExit: a flag, a configuration file or a port cannot be used (code 2, after a message on stderr).
    """
    options = flags.parse(sys.argv[1:] if arguments is None else arguments)
    if options.version:
        print(f"kindred-model-server {version('kindred')}")
        print(f"TensorFlow {version('tensorflow')}")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    # As the first process of a container, this one ignores a signal without a handler.
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    prepare()
    # These modules import TensorFlow, which takes seconds. A wrong flag is reported before.
    from serving.model_server.faults import Fault
    from serving.model_server.server import ModelServer

    # A thread that works on a large request gives way to the others five times as often as by default.
    sys.setswitchinterval(0.001)
    try:
        server = ModelServer(options)
        server.start(stop)
    except (Fault, OSError) as error:
        log(f"error: {error}")
        sys.exit(2)
    for name in flags.ignored(options):
        logging.warning("--%s has no effect on this server and is ignored", name)
    stop.wait()
    if not server.stop():
        # The interpreter would wait for the thread that loads. Its work is of no use any more.
        logging.shutdown()
        os._exit(0)


if __name__ == "__main__":
    main()
