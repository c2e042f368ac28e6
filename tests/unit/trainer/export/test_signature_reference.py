"""docs/reference/signatures.md is generated from the signatures of a published model.

KINDRED_UPDATE_GOLDEN=1 python -m pytest tests/unit/trainer/export/test_signature_reference.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import tensorflow as tf

from tests.source_files import REPOSITORY
from tests.unit.trainer.planted_model import DIMENSION, Planted

pytestmark = pytest.mark.tensorflow

_PAGE = REPOSITORY / "docs" / "reference" / "signatures.md"
_HEAD = """# Signatures, generated

Every signature of a published model with the names, types and shapes of its inputs and outputs, as TensorFlow Serving
sees them. `n` is any number, and `d` is the dimension of the vectors. [Serving](../serving.md#signatures) says what
they mean. A model without an index has no `..._approximate` signatures. A model with features has more signatures
([guide](../guides/entities-that-training-never-saw.md)).

| signature | inputs | outputs |
|---|---|---|
"""


def _shape(shape: tf.TensorShape) -> str:
    if shape.rank is None:
        return "[n] or [n, n]"
    return f"[{', '.join({None: 'n', DIMENSION: 'd'}.get(size, str(size)) for size in shape)}]"


def _tensors(specs: dict[str, Any]) -> str:
    found = (f"`{name}` {spec.dtype.name} {_shape(spec.shape)}" for name, spec in sorted(specs.items()))
    return "<br>".join(found)


def _rows(model: Any) -> Iterator[str]:
    for name, function in sorted(model.signatures.items()):
        if name != "evaluate":  # for the Evaluator only
            inputs, outputs = function.structured_input_signature[1], function.structured_outputs
            yield f"| `{name}` | {_tensors(inputs)} | {_tensors(outputs)} |"


def test_page_lists_every_signature(planted: Planted) -> None:
    page = _HEAD + "\n".join(_rows(tf.saved_model.load(str(planted.model)))) + "\n"
    if os.environ.get("KINDRED_UPDATE_GOLDEN"):
        _PAGE.write_text(page, encoding="utf-8")
    assert _PAGE.read_text(encoding="utf-8") == page
