"""A graph that one thread traces gets no files of a graph that another thread loads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_transform import impl_helper
from tensorflow_transform.saved import saved_transform_io_v2 as io

from compat.tensorflow_transform import trace_in_turn


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepares the module as `compat.process` does, for one test."""
    for owner, name in ((io, "trace_and_update_module"), (io.SavedModelLoader, "__init__")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    trace_in_turn(io, lambda: None)


def test_traced_graph_has_its_own_files_only(tmp_path: Path) -> None:
    other = _written(tmp_path / "other", "of the other graph")
    loads: list[threading.Thread] = []

    def load() -> None:
        loads.append(threading.Thread(target=io.SavedModelLoader, args=(str(other),)))
        loads[-1].start()
        loads[-1].join(1)  # without a lock, it has ended before

    mine = _written(tmp_path / "mine", "of this graph", load)
    for thread in loads:
        thread.join(60)
    assert [path.read_text() for path in (mine / "assets").iterdir()] == ["of this graph"]
    assert loads and not any(thread.is_alive() for thread in loads)


def _written(folder: Path, word: str, during: Callable[[], None] = lambda: None) -> Path:
    """Writes a graph that looks up one word, and calls `during` while it is traced."""
    folder.mkdir()
    vocabulary = folder / "vocabulary"
    vocabulary.write_text(word)

    def preprocess(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        lines, places = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        source = tf.lookup.TextFileInitializer(os.fspath(vocabulary), tf.string, lines, tf.int64, places)
        table = tf.lookup.StaticHashTable(source, -1)
        during()
        return {"code": table.lookup(inputs["id"])}

    columns = {"id": tf.TensorSpec([None], tf.string)}
    target = folder / "graph"
    impl_helper.trace_and_write_v2_saved_model(
        str(target), preprocess, columns, str(folder), None, {}, output_keys_to_name_map={}, save_options=None
    )
    return target
