"""The one published model that many tests ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.trainer.planted_model import Planted


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A small model of known numbers, published through the real preprocessing and export."""
    from tests.unit.trainer import planted_model

    return planted_model.publish(tmp_path_factory.mktemp("planted"))
