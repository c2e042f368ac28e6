"""Reads request logs: TFRecord files of PredictionLog, written by kindred-model-server or TensorFlow Serving."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from storage.settings import StorageSettings
from storage.store import Store, in_parallel
from storage.urls import is_object


@contextlib.contextmanager
def log_files(prefix: str, storage: StorageSettings | None = None) -> Iterator[list[Path]]:
    """Yields the files of a log in order of their names. Those of an object store are copies for the block.

    Args:
      prefix: the beginning of the paths of the files, or of the URLs of objects.
      storage: how an object store is reached.

    Raises:
      StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
    """
    if not is_object(prefix):
        yield _beginning_with(Path(prefix))
        return
    url, _, name = prefix.rpartition("/")
    store = Store(url, storage)
    entries = [entry for entry in store.objects() if entry.name.startswith(name) and "/" not in entry.name]
    with tempfile.TemporaryDirectory(prefix="kindred-logs-") as folder:
        in_parallel(lambda entry: store.download(entry, os.path.join(folder, entry.name)), entries)
        yield _beginning_with(Path(folder, name))


def _beginning_with(prefix: Path) -> list[Path]:
    names = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    return sorted(file for file in names if file.name.startswith(prefix.name) and file.is_file())


def read_records(file: Path) -> Iterator[Any]:
    """Yields each record of a file as a PredictionLog, or None for a record that is not one.

    Raises:
      tf.errors.OpError: the file is damaged, ends in the middle of a record, or cannot be read.
    """
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except DecodeError:
            yield None
        else:
            yield log


def model_of(log: Any) -> tuple[str, int]:
    """Returns model and version. The response has the version that answered, the request may only have a label."""
    specs = (log.predict_log.response.model_spec, log.log_metadata.model_spec, log.predict_log.request.model_spec)
    name = next((spec.name for spec in specs if spec.name), "")
    return name, next((int(spec.version.value) for spec in specs if spec.HasField("version")), 0)
