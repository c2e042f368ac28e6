"""The root directory: what a pipeline keeps there, and who may use it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from components.pair_example_gen.files import is_remote
from errors import RootError
from pipeline.config import PipelineConfig


@dataclasses.dataclass(frozen=True)
class Root:
    """Where a pipeline keeps everything, and the names inside."""

    path: Path

    @classmethod
    def at(cls, path: Path | None, name: str) -> Root:
        """The root that `--root` names, else that of the pipeline `name` below `build`.

        Raises:
          RootError: it is a URL, which only `publish.to` may be.
        """
        # A path has lost one of the two slashes.
        if path is not None and path.parts[:1] and path.parts[0].endswith(":"):
            raise RootError(f"--root {path}: a root is a folder, and no URL; publish.to is what may be one")
        return cls((path or Path("build", name)).absolute())

    @property
    def artifacts(self) -> Path:
        """TFX's artifacts."""
        return self.path / "pipeline"

    @property
    def metadata(self) -> Path:
        """ML Metadata, a SQLite file."""
        return self.path / "metadata.sqlite"

    @property
    def runs(self) -> Path:
        """Records of runs, a folder each."""
        return self.path / "runs"

    def serving(self, config: PipelineConfig) -> str:
        """Published models, a folder per version: below the root, or where `publish.to` is a URL, there."""
        return config.publish.to if is_remote(config.publish.to) else str(self.path / config.publish.to)

    def new_run(self) -> str:
        """Creates the folder of a new run; its id sorts by time.

        Raises:
          RootError: the root cannot be written.
        """
        started = datetime.datetime.now()
        while True:
            run_id = started.strftime("%Y%m%d-%H%M%S-%f")[:-3]
            try:
                (self.runs / run_id).mkdir(parents=True)
            except FileExistsError:
                started += datetime.timedelta(milliseconds=1)
            except OSError as error:
                raise self._unusable(error) from None
            else:
                return run_id

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the root for one run; the lock goes with the process, however it ends.

        Raises:
          RootError: the root cannot be written, or another run holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # As root, access checks pass where writes fail: only a write tells.
            with filelock.FileLock(self.path / ".lock", timeout=0):
                yield
        except filelock.Timeout:
            raise RootError(
                f"--root {self.path}: another run is using it; wait for it to end, or give another --root"
            ) from None
        except OSError as error:
            if error.filename is None or not str(error.filename).startswith(str(self.path)):
                raise
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> RootError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return RootError(f"--root {self.path}: cannot be written ({reason}); give another directory with --root")
