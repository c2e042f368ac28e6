"""A lease on a root in an object store: one machine at a time changes it.

A machine writes a claim, then lists all claims. Stores list what was written before, so of two machines at least one
sees the other and gives up. The holder renews its claim, and a claim that was not renewed for some minutes counts for
nothing. Only times of the store are compared, so clocks of machines do not matter.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator

from errors import RootError, StoreError, StoreUnavailable
from storage.store import Store, StoredObject

_FOLDER = "locks"
_RENEWED_SECONDS = 30.0
_STALE_SECONDS = 300
_ATTEMPTS = 4


class Lease:
    """The lease of a working copy.

    Args:
      store: the root in the store.
      owner: identifies the working copy. Its own old claim, of a killed process, does not count.
    """

    def __init__(self, store: Store, owner: str) -> None:
        self._store, self._name = store, f"{_FOLDER}/{owner}"
        self._end = threading.Event()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lease inside the block. The caller has locked the working copy on this machine.

        Raises:
          RootError: another machine holds it.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        self._acquire()
        self._end.clear()
        renewing = threading.Thread(target=self._renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            self._end.set()
            renewing.join()
            self._release()

    def is_held(self) -> bool:
        """Returns whether no other machine has taken over the lease, because this one did not renew it in time."""
        return self._store.find(self._name) is not None

    def _acquire(self) -> None:
        for attempt in range(_ATTEMPTS):
            self._write()
            others = self._others()
            if not others:
                return
            self._store.delete(self._name)
            # Two machines that begin at the same time can both see the other.
            if attempt < _ATTEMPTS - 1:
                time.sleep(random.uniform(0.1, 0.6))
        raise RootError(
            f"--root {self._store.url}: another run is using it: {self._describe(others[0])}. Wait for its end, or set "
            f"another --root. If it was killed, try again {_STALE_SECONDS // 60} minutes later"
        )

    def _others(self) -> list[StoredObject]:
        """Returns the claims of others that count, and deletes those that do not."""
        claims = self._store.objects(_FOLDER)
        mine = next((claim for claim in claims if claim.name == self._name), None)
        now = mine.changed if mine else time.time_ns()
        counting = []
        for claim in claims:
            if claim.name != self._name and not claim.name.endswith("/"):
                if now - claim.changed < _STALE_SECONDS * 10**9:
                    counting.append(claim)
                else:
                    self._store.delete(claim.name)
        return counting

    def _describe(self, claim: StoredObject) -> str:
        try:
            about = json.loads(self._store.read(claim.name))
            return f"process {about['process']} on {about['host']}, since {about['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return claim.name

    def _write(self) -> None:
        since = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        about = {"host": socket.gethostname(), "process": os.getpid(), "since": since}
        self._store.write(self._name, json.dumps(about).encode())

    def _renew(self) -> None:
        while not self._end.wait(_RENEWED_SECONDS):
            # A store that fails now may answer later. At the end, `is_held` decides.
            with contextlib.suppress(StoreError, StoreUnavailable, OSError):
                if not self.is_held():
                    return
                self._write()

    def _release(self) -> None:
        with contextlib.suppress(StoreError, StoreUnavailable):  # it is stale soon
            self._store.delete(self._name)
