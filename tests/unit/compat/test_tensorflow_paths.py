"""Folders whose names contain characters of patterns."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from compat.tensorflow_paths import literal


@pytest.mark.parametrize("name", ["plain", "with blank", "a[1]", "back\\slash", "st*r", "what?"])
def test_model_in_any_folder_is_loaded(tmp_path: Path, name: str) -> None:
    model = tf.Module()
    model.value = tf.Variable(3.0)
    folder = tmp_path / name / "1"
    tf.saved_model.save(model, str(folder))
    assert float(tf.saved_model.load(literal(str(folder))).value) == 3.0
    assert (literal(str(folder)) == str(folder)) is (name in ("plain", "with blank"))
    assert literal(str(folder)) == literal(str(folder)), "one link for each folder"


def test_url_is_not_changed() -> None:
    assert literal("gs://bucket/a[1]") == "gs://bucket/a[1]"
