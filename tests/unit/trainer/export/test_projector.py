"""TensorBoard's projector files, read like its plugin does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from trainer.export import projector
from trainer.model.network import LEFT_VECTORS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings

pytestmark = pytest.mark.tensorflow

LEFT = [b"most", "naïve 🎬".encode(), b"a\ttab", b"\xff raw", b"  ", b"least"]
RIGHT = [b"x", b"y"]


class _Vocabularies:
    """Replaces a transform graph, with only the methods in use."""

    def vocabulary_by_name(self, name: str) -> list[bytes]:
        return {"left": LEFT, "right": RIGHT, "shared": LEFT}[name]


def _tables(folder: Path) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Returns the vectors and metadata of each table in the configuration."""
    config = (folder / projector.CONFIG_FILE).read_text(encoding="utf-8")
    found = {}
    for entry in re.findall(r"embeddings \{(.*?)\}", config, re.DOTALL):
        fields = dict(re.findall(r'(\w+): "(.*?)"', entry))
        shape = tuple(map(int, re.findall(r"tensor_shape: (\d+)", entry)))
        lines = (folder / fields["tensor_path"]).read_text(encoding="utf-8").split("\n")
        vectors = np.array([list(map(float, line.split("\t"))) for line in lines if line], np.float32)
        assert vectors.shape == shape
        ids = (folder / fields["metadata_path"]).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        found[fields["tensor_name"]] = (vectors, ids)
    return found


def _write(folder: Path, shared: bool) -> tuple[object, dict[str, tuple[np.ndarray, list[str]]]]:
    sizes = TableSizes(7, 7, True) if shared else TableSizes(7, 3)
    network = build_model(sizes, ModelSettings(dimension=3), seed=1)
    projector.write(network, _Vocabularies(), shared, str(folder))  # type: ignore[arg-type]
    return network, _tables(folder)


def test_files_have_exact_vectors_and_ordered_ids(tmp_path: Path) -> None:
    network, tables = _write(tmp_path, shared=False)
    assert set(tables) == {"left", "right"}
    for name, layer, rows in (("left", LEFT_VECTORS, 6), ("right", RIGHT_VECTORS, 2)):
        np.testing.assert_array_equal(tables[name][0], network.get_layer(layer).get_weights()[0][:rows])
    assert tables["left"][1] == ["most", "naïve 🎬", "a\\ttab", "\\xff raw", "  ", "least"]
    assert tables["right"][1] == ["x", "y"]


def test_shared_table_is_written_once(tmp_path: Path) -> None:
    _, tables = _write(tmp_path, shared=True)
    assert list(tables) == ["shared"] and len(tables["shared"][1]) == 6


def test_only_most_frequent_ids_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "MAX_ROWS", 4)
    network, tables = _write(tmp_path, shared=False)
    assert tables["left"][1] == ["most", "naïve 🎬", "a\\ttab", "\\xff raw"]
    np.testing.assert_array_equal(tables["left"][0], network.get_layer(LEFT_VECTORS).get_weights()[0][:4])
    said = (tmp_path / projector.CONFIG_FILE).read_text(encoding="utf-8")
    assert "# the 4 most frequent of 6 ids" in said and "# the 2 most frequent of 2 ids" in said
