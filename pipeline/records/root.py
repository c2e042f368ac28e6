"""The root directory of a pipeline: its content and its lock."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from components.pair_example_gen.files import is_remote
from errors import ConfigError, RootError
from pipeline.config import PipelineConfig

_RUN_ID = "%Y%m%d-%H%M%S-%f"


@dataclasses.dataclass(frozen=True)
class Root:
    """A directory with all artifacts, metadata, records and models of a pipeline.

    Attributes:
      path: absolute path of the directory.

    Example:
      root = Root.at(None, "films")  # build/films
      with root.locked():
          run_id = root.new_run()
    """

    path: Path

    @classmethod
    def at(cls, path: Path | None, name: str) -> Root:
        """Returns the root for `--root`, or the default `build/NAME`.

        Args:
          path: value of `--root`, if any.
          name: name of the pipeline.

        Raises:
          RootError: `path` is a URL. Only `publish.to` accepts one.
        """
        # `Path` has removed one of the two slashes of a URL.
        if path is not None and path.parts[:1] and path.parts[0].endswith(":"):
            raise RootError(f"--root {path} must be a local directory. data.path, publish.to and --model accept a URL")
        return cls((path or Path("build", name)).absolute())

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
    def index(self) -> Path:
        """The page about all runs and versions."""
        return self.path / "index.html"

    def serving(self, config: PipelineConfig) -> str:
        """Returns the directory of published versions, or the URL of `publish.to`.

        Raises:
          ConfigError: the directory is not below the root, and `publish.outside_root` does not allow it.
        """
        to = config.publish.to
        if is_remote(to):
            return to
        directory = os.path.normpath(self.path / to)
        root = os.path.normpath(self.path)
        if not config.publish.outside_root and os.path.commonpath([root, directory]) != root:
            raise ConfigError(
                f"publish.to: {to} is outside the root {self.path}. Versions there beyond publish.keep are removed. "
                "Set publish.to to a directory below the root, or publish.outside_root to true"
            )
        return str(self.path / to)

    def new_run(self) -> str:
        """Creates the folder of a new run, and returns its id.

        Ids sort by time. If the clock went back, the id follows the newest one.

        Raises:
          RootError: the root is not writable.
        """
        started = max(datetime.datetime.now(), self._newest_run() + datetime.timedelta(milliseconds=1))
        while True:
            run_id = started.strftime(_RUN_ID)[:-3]
            try:
                (self.runs / run_id).mkdir(parents=True)
            except FileExistsError:
                started += datetime.timedelta(milliseconds=1)
            except OSError as error:
                raise self._unusable(error) from None
            else:
                return run_id

    def check_writable(self) -> None:
        """Checks that the root can be written, or created. Writes nothing.

        Raises:
          RootError: it cannot.
        """
        existing = next(path for path in (self.path, *self.path.parents) if path.exists())
        if not existing.is_dir():
            raise self._unusable(NotADirectoryError(errno.ENOTDIR, "", str(existing)))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise self._unusable(PermissionError(errno.EACCES, "", str(existing)))

    def _newest_run(self) -> datetime.datetime:
        """Returns the time in the newest run id, or the earliest time without a run."""
        newest = datetime.datetime.min
        for path in self.runs.glob("*"):
            with contextlib.suppress(ValueError):
                newest = max(newest, datetime.datetime.strptime(path.name, _RUN_ID))
        return newest

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the root for one run. The lock ends with the process.

        Raises:
          RootError: the root is not writable, or another run holds the lock.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Access checks always pass for the root user, so only an actual write shows whether writing works.
            with filelock.FileLock(self.path / ".lock", timeout=0):
                yield
        except filelock.Timeout:
            raise RootError(
                f"--root {self.path}: another run is using it. Wait for its end, or set another --root"
            ) from None
        except OSError as error:
            if error.filename is None or not str(error.filename).startswith(str(self.path)):
                raise
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> RootError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return RootError(f"--root {self.path}: cannot be written ({reason}). Set --root to another directory")
