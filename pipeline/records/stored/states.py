"""The states of a root in an object store, ROOT/state/GENERATION-TOKEN/: a database, and the mark of a whole state.

A state is never overwritten: each has its own name, and `state.json` is written last. The newest one counts. A machine
lists the states after it has written its own. If another one has written the same generation, it takes its own back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from errors import RootError, StoreError, StoreUnavailable
from storage.store import Store

_FOLDER = "state"
_MARK = "state.json"
_DATABASE = "metadata.sqlite"
_NAME = re.compile(rf"{_FOLDER}/(\d{{8}})-([0-9a-f]+)/{_MARK}")
_KEPT = 2
"""How many states stay, so that a reader can finish with one that has just been replaced."""


@dataclasses.dataclass(frozen=True)
class State:
    """A state. States sort from old to new.

    Attributes:
      generation: its number.
      changed: when the store got it, in nanoseconds since 1970.
      token: makes its name unique.
    """

    generation: int
    changed: int
    token: str

    @property
    def folder(self) -> str:
        """The common beginning of the names of its objects."""
        return f"{_FOLDER}/{self.generation:08d}-{self.token}"


class States:
    """The states of a root.

    Args:
      store: the root in the store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def newest(self) -> State | None:
        """Returns the state that counts, or None if the root has none."""
        found = self._all()
        last = max((state.generation for state in found), default=0)
        same = [state for state in found if state.generation == last]
        return min(same, key=lambda state: (state.changed, state.token), default=None)

    def download(self, state: State, file: Path) -> None:
        """Downloads the database of a state.

        Raises:
          StoreError: the object is not the database that was stored.
          FileNotFoundError: the state was replaced meanwhile, by two others.
        """
        about = json.loads(self._store.read(f"{state.folder}/{_MARK}"))
        name = f"{state.folder}/{_DATABASE}"
        entry = self._store.find(name)
        if entry is None or self._store.digest(name) != about["metadata"]:
            raise StoreError(
                f"{self._store.url}/{name}: is missing or differs from the database that was stored. Restore the "
                f"object, or delete {self._store.url}/{state.folder} to use the state before it"
            )
        self._store.download(entry, str(file))

    def commit(self, after: int, database: Path, announce: Callable[[State], None]) -> None:
        """Stores a database as the state that follows generation `after`.

        Args:
          after: the generation that the database continues.
          database: the file.
          announce: called with the new state before the request that makes it count. Its answer can be lost.

        Raises:
          RootError: another machine has stored such a state.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails. If the answer to the
            last request is lost, the state can exist.
        """
        mine = State(after + 1, 0, uuid.uuid4().hex[:16])
        digest = self._store.upload(str(database), f"{mine.folder}/{_DATABASE}")
        self._refuse_newer(after)
        about = {"metadata": digest, "host": socket.gethostname()}
        announce(mine)
        self._store.write(f"{mine.folder}/{_MARK}", json.dumps(about).encode())
        if any(state.generation > after and state.token != mine.token for state in self._all()):
            self._store.delete(f"{mine.folder}/{_MARK}")
            raise self._overtaken()

    def remove_old(self) -> None:
        """Deletes all states but the newest ones, and what failed commits left. Its failure loses nothing."""
        with contextlib.suppress(StoreError, StoreUnavailable):
            kept = {state.folder for state in sorted(self._all(), key=lambda state: state.generation)[-_KEPT:]}
            found = {"/".join(entry.name.split("/")[:2]) for entry in self._store.objects(_FOLDER)}
            for folder in sorted(found - kept - {_FOLDER}):
                self._store.delete(f"{folder}/{_MARK}")
                self._store.delete_folder(folder)

    def _all(self) -> list[State]:
        found = ((_NAME.fullmatch(entry.name), entry.changed) for entry in self._store.objects(_FOLDER))
        return [State(int(name[1]), changed, name[2]) for name, changed in found if name]

    def _refuse_newer(self, after: int) -> None:
        if any(state.generation > after for state in self._all()):
            raise self._overtaken()

    def _overtaken(self) -> RootError:
        return RootError(
            f"--root {self._store.url}: another machine has changed the root since this command began. Versions that "
            "are published stay. Run the command again"
        )
