"""The root of a pipeline: its content and its lock. A root in an object store has a working copy on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

import filelock

from components.pair_example_gen.files import is_remote
from errors import ConfigError, RootError
from pipeline.config import PipelineConfig
from pipeline.records.path_limits import check_destination, check_root
from pipeline.records.run_ids import make_run_folder
from pipeline.records.stored.session import Session
from pipeline.records.stored.working_copy import Identity, identity_of, read_base, working_folder
from storage import urls
from storage.cache import CACHE
from storage.settings import StorageSettings
from storage.trust import trust
from storage.urls import SCHEMES_IN_WORDS, is_object


@dataclasses.dataclass(frozen=True)
class Root:
    """A directory with all artifacts, metadata, records and models of a pipeline, or the working copy of such a root.

    Attributes:
      path: absolute path of the directory.

    Example:
      root = Root.at(None, "films")  # build/films
      with root.locked():
          run_id = root.new_run()
    """

    path: Path

    @classmethod
    def at(cls, root: Path | str | None, name: str, storage: StorageSettings | None = None) -> Root:
        """Returns the root for `--root`, or the default `build/NAME`. Sends no request.

        Args:
          root: value of `--root`, a path or a URL, if any.
          name: name of the pipeline.
          storage: how the store of a URL is reached. None: as before, or by the variables of the provider.

        Raises:
          RootError: `root` is a URL that is not one of a folder in an object store, or its path is too long.
          StoreError: `storage.ca_file` cannot be used.
        """
        if storage is not None:
            trust(storage.ca_file)
        text = str(root or Path("build", name))
        if is_object(text):
            return cls(working_folder(text, storage))
        if "://" in text:
            raise RootError(f"--root {text}: must be a directory, or a URL that begins with {SCHEMES_IN_WORDS}")
        path = Path(text).absolute()
        check_root(path)
        return cls(path)

    @property
    def identity(self) -> Identity | None:
        """Which root in an object store this is the working copy of, or None."""
        return identity_of(self.path)

    @property
    def session(self) -> Session | None:
        """The exchange with the store, or None for a directory that is a root itself. Sends no request."""
        identity = self.identity
        return Session(self.path, identity) if identity else None

    def ensure(self, folder: Path | str) -> None:
        """Downloads an artifact that only the object store of the root has.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        folder, session = Path(folder), self.session
        is_here = folder.is_dir() and any(folder.iterdir())
        if session is not None and not is_here and folder.is_relative_to(self.artifacts):
            session.fetch_artifact(str(folder))

    def stored_files(self) -> set[Path]:
        """Returns the paths of records and pages that the object store of the root has. They may be absent here."""
        return {self.path / name for name in read_base(self.path).files} if self.identity else set()

    def __str__(self) -> str:
        """Returns the URL or the path of the root."""
        identity = self.identity
        return identity.url if identity else str(self.path)

    @property
    def name(self) -> str:
        """The last part of the URL or of the path."""
        return str(self).rpartition("/")[2]

    def place_of(self, name: str) -> str:
        """Returns the path or the URL of `name`, which is relative to the root, or is a path or a URL itself."""
        identity = self.identity
        if "://" in name or identity is None:
            return name if "://" in name else str(self.path / name)
        return urls.join(identity.url, posixpath.normpath(name))

    def name_of(self, place: str) -> str:
        """Returns a path or URL relative to the root. URLs of other places stay."""
        if "://" not in place:
            return os.path.relpath(place, self.path)
        return place.removeprefix(f"{self}/")

    @property
    def artifacts(self) -> Path:
        """Directory of TFX's artifacts."""
        return self.path / "pipeline"

    @property
    def metadata(self) -> Path:
        """SQLite file of ML Metadata."""
        return self.path / "metadata.sqlite"

    @property
    def inputs(self) -> Path:
        """Directory of local copies of input objects."""
        return self.path / "inputs"

    @property
    def runs(self) -> Path:
        """Directory with one record folder per run."""
        return self.path / "runs"

    @property
    def lists(self) -> Path:
        """Directory of the lists of each version, if section `batch` asks for them."""
        return self.path / "lists"

    @property
    def index(self) -> Path:
        """The page about all runs and versions."""
        return self.path / "index.html"

    def serving(self, config: PipelineConfig) -> str:
        """Returns the directory of published versions, or the URL of `publish.to`.

        Raises:
          ConfigError: the directory is not below the root, and `publish.outside_root` does not allow it.
        """
        to = config.publish.to
        if self.identity:
            return self._stored_serving(config)
        if is_remote(to):
            return to
        directory = os.path.normpath(self.path / to)
        root = os.path.normpath(self.path)
        if not config.publish.outside_root and os.path.commonpath([root, directory]) != root:
            raise ConfigError(
                f"publish.to: {to} is outside the root {self.path}. Versions there beyond publish.keep are removed. "
                "Set publish.to to a directory below the root, or publish.outside_root to true"
            )
        check_destination(directory)
        return str(self.path / to)

    def _stored_serving(self, config: PipelineConfig) -> str:
        to = config.publish.to if is_remote(config.publish.to) else posixpath.normpath(config.publish.to)
        if to.startswith(("/", "..")):
            raise ConfigError(
                f"publish.to: {config.publish.to} is outside the root {self}. Set it to a folder below the root, or to "
                "a URL"
            )
        return self.place_of(to)

    def new_run(self) -> str:
        """Creates the folder of a new run, and returns its id.

        Raises:
          RootError: the root is not writable.
        """
        try:
            return make_run_folder(self.runs)
        except OSError as error:
            raise self._unusable(error) from None

    def check_writable(self) -> None:
        """Checks that the root can be written, or created. Writes nothing. Only reads the object store of a root.

        Raises:
          RootError: it cannot.
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        if session := self.session:
            session.check()
        existing = next(path for path in (self.path, *self.path.parents) if path.exists())
        if not existing.is_dir():
            raise self._unusable(NotADirectoryError(errno.ENOTDIR, "", str(existing)))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise self._unusable(PermissionError(errno.EACCES, "", str(existing)))

    @contextlib.contextmanager
    def locked(self, stores: bool = True) -> Iterator[Session | None]:
        """Locks the root for one run. The lock ends with the process.

        A root in an object store is locked there too. The newest state is fetched before the block, and changes are
        stored after it, unless it raises an exception.

        Args:
          stores: whether to store changes. Otherwise the block does it, with `Session.commit`.

        Yields:
          The exchange with the store, or None.

        Raises:
          RootError: the root is not writable, or another run holds the lock.
          StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
        """
        with self._locked_here(), contextlib.ExitStack() as stack:
            session = self.session
            if session is not None:
                stack.enter_context(session.writing())
            yield session
            if session is not None and stores:
                session.commit()

    def fetch(self) -> Root:
        """Fetches the newest state of a root in an object store, unless a run on this machine is using it.

        Raises:
          RootError, StoreError, StoreUnavailable: as `locked`.
        """
        session = self.session
        if session is None:
            return self
        try:
            with filelock.FileLock(self.path / ".lock", timeout=0):
                session.fetch()
        except filelock.Timeout:
            pass  # what the run has is as new, or newer
        except OSError as error:
            raise self._unusable_here(error) from None
        return self

    @contextlib.contextmanager
    def _locked_here(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Access checks always pass for the root user, so only an actual write shows whether writing works.
            with filelock.FileLock(self.path / ".lock", timeout=0):
                yield
        except filelock.Timeout:
            raise RootError(
                f"--root {self}: another run is using it. Wait for its end, or set another --root"
            ) from None
        except OSError as error:
            raise self._unusable_here(error) from None

    def _unusable_here(self, error: OSError) -> Exception:
        """Returns the error to raise for a fault of a file. One outside the root stays as it is."""
        is_here = error.filename is not None and str(error.filename).startswith(str(self.path))
        return self._unusable(error) if is_here else error

    def _unusable(self, error: OSError) -> RootError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if self.identity:
            return RootError(
                f"--root {self}: its working copy {self.path} cannot be written ({reason}). Set {CACHE} to another "
                "folder"
            )
        return RootError(f"--root {self.path}: cannot be written ({reason}). Set --root to another directory")
