"""PyArrow's file system of Azure, in child processes.

PyArrow 18 does not catch the errors of Azure's client about connections, and ends its process. Here, a child ends, and
the caller gets an OSError, as from other stores. Children are started when they are needed, and end with this process.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa

_SELECT, _LIST = "select", "list"
_LOST = (EOFError, OSError)


class Child:
    """A process with one file system, and at most one open stream.

    Args:
      account: the storage account.
      options: the other arguments of `AzureFileSystem`.
    """

    def __init__(self, account: str, options: Mapping[str, Any]) -> None:
        here, there = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "storage.isolated", str(there.fileno())],
                pass_fds=[there.fileno()],
                env={**os.environ, "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C ends the parent, and that ends the child
            )
        self._connection = Connection(here.detach())
        self.call("connect", account, dict(options))

    def call(self, name: str, *arguments: Any) -> Any:
        """Returns the result of a method of the file system or of the open stream.

        Raises:
          OSError, pyarrow.ArrowException: what the method raises, or the child ended because a connection failed.
        """
        try:
            self._connection.send((name, arguments))
            succeeded, result = self._connection.recv()
        except _LOST:
            raise OSError(f"NETWORK_CONNECTION: {self._last_words()}") from None
        if not succeeded:
            raise result
        return result

    def end(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines()]
        return next((line for line in lines if line.startswith("what():")), f"exit code {self._process.returncode}")


class IsolatedAzure:
    """What `Store` needs of `pyarrow.fs.AzureFileSystem`. Safe from several threads.

    Args:
      account: the storage account.
      options: the other arguments of `AzureFileSystem`.
    """

    def __init__(self, account: str, options: Mapping[str, Any]) -> None:
        self._account, self._options = account, options
        self._idle: list[Child] = []
        self._lock = threading.Lock()

    def get_file_info(self, wanted: Any) -> Any:
        """Returns facts about an object, or about those of a selector."""
        from pyarrow import fs

        def info(facts: tuple[str, int, int | None, int | None]) -> pa.fs.FileInfo:
            path, kind, size, changed = facts
            return fs.FileInfo(path, fs.FileType(kind), size=size, mtime_ns=changed)

        if isinstance(wanted, fs.FileSelector):
            selector = (wanted.base_dir, wanted.allow_not_found, wanted.recursive)
            return [info(facts) for facts in self._call(_LIST, *selector)]
        return info(self._call(_SELECT, wanted))

    def copy_file(self, source: str, target: str) -> None:
        """Copies an object."""
        self._call("copy_file", source, target)

    def create_dir(self, path: str, recursive: bool = True) -> None:
        """Makes a container or a folder."""
        self._call("create_dir", path, recursive)

    def delete_file(self, path: str) -> None:
        """Deletes an object."""
        self._call("delete_file", path)

    def delete_dir(self, path: str) -> None:
        """Deletes a folder."""
        self._call("delete_dir", path)

    def open_input_file(self, path: str) -> Stream:
        """Opens an object to read it."""
        return self._open("open_input_file", path)

    def open_input_stream(self, path: str) -> Stream:
        """Opens an object to read it once."""
        return self._open("open_input_stream", path)

    def open_output_stream(self, path: str) -> Stream:
        """Opens an object to write it."""
        return self._open("open_output_stream", path)

    def _call(self, name: str, *arguments: Any) -> Any:
        with self._borrowed() as child:
            return child.call(name, *arguments)

    def _open(self, name: str, path: str) -> Stream:
        borrowed = contextlib.ExitStack()
        with contextlib.ExitStack() as failed:
            failed.push(borrowed)
            child = borrowed.enter_context(self._borrowed())
            child.call("open", name, path)
            failed.pop_all()
        return Stream(child, borrowed)

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Child]:
        """Yields a child that nobody else uses. One that failed is not used again."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        child = child or Child(self._account, self._options)
        try:
            yield child
        except BaseException as error:
            if isinstance(error, FileNotFoundError):
                self._give_back(child)
            else:
                child.end()
            raise
        self._give_back(child)

    def _give_back(self, child: Child) -> None:
        with self._lock:
            self._idle.append(child)


class Stream:
    """An open object."""

    def __init__(self, child: Child, borrowed: contextlib.ExitStack) -> None:
        self._child, self._borrowed = child, borrowed

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Completes the object, or leaves it as it was after an error."""
        if error is not None:
            self._borrowed.__exit__(kind, error, trace)
            return
        with self._borrowed:
            self._child.call("close")

    def read(self, size: int | None = None) -> bytes:
        """Returns the next bytes, or all."""
        return bytes(self._child.call("read", size))

    def write(self, content: bytes) -> None:
        """Appends bytes."""
        self._child.call("write", content)

    def metadata(self) -> dict[bytes, bytes]:
        """Returns the metadata of the object."""
        return dict(self._child.call("metadata"))


class _Served:
    """The file system and the open stream of a child."""

    def __init__(self) -> None:
        self._system: Any = None
        self._stream: Any = io.BytesIO()

    def answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Returns the result of a call."""
        from pyarrow import fs

        if name == "connect":
            self._system = fs.AzureFileSystem(arguments[0], **arguments[1])
        elif name == _SELECT:
            return _facts(self._system.get_file_info(arguments[0]))
        elif name == _LIST:
            return [_facts(info) for info in self._system.get_file_info(fs.FileSelector(*arguments))]
        elif name == "open":
            method, path = arguments
            self._stream = getattr(self._system, method)(path)
        elif name in ("read", "write", "close", "metadata"):
            return getattr(self._stream, name)(*arguments)
        elif name == "create_dir":
            self._system.create_dir(arguments[0], recursive=arguments[1])
        else:
            getattr(self._system, name)(*arguments)
        return None


def _facts(info: pa.fs.FileInfo) -> tuple[str, int, int | None, int | None]:
    return info.path, int(info.type), info.size, info.mtime_ns


def serve(connection: Connection) -> None:
    """Answers calls until the parent is gone."""
    served = _Served()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            name, arguments = connection.recv()
            try:
                answer = (True, served.answer(name, arguments))
            except (OSError, pa.ArrowException) as error:
                answer = (False, error)
            connection.send(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
