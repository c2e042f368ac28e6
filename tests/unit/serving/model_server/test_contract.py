"""Which signatures the server knows the cost of, and which requests may be computed with others."""

from __future__ import annotations

import numpy as np
import pytest

from serving.model_server.contract import is_of_contract, rows_of


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["left_id", "right_id"], True),
        (["left_id", "k", "exclude", "candidates"], True),
        (["left_id", "k", "probes"], True),
        (["given_id", "given_score", "k"], True),
        (["left_id", "x"], False),
        (["k"], False),
        ([], False),
    ],
)
def test_only_ids_make_a_signature_of_the_contract(inputs: list[str], expected: bool) -> None:
    """Other models keep their time limit, also one whose only input happens to be named `k`."""
    assert is_of_contract(inputs) == expected


def test_rows_of_requests() -> None:
    one, two, k = np.array([b"a"], object), np.array([b"a", b"b"], object), np.array(3, np.int32)
    assert rows_of({"left_id": two, "right_id": two}) == 2
    assert rows_of({"left_id": one, "k": k}) == 1
    assert rows_of({"left_id": one, "right_id": two}) is None
    assert rows_of({"left_id": one, "k": np.array([3], np.int32)}) is None
    assert rows_of({"left_id": one, "k": k, "probes": k}) is None
    assert rows_of({"left_id": one.astype("S"), "k": k}) is None
    assert rows_of({"k": k}) is None
