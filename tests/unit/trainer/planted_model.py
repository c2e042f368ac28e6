"""A published model with known numbers, so that the answers of its signatures can be computed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np

from tests.unit.trainer.transforms import Row, analyze
from trainer.data.pairs import Pairs
from trainer.export import saved_model
from trainer.model.fold_in import FoldIn
from trainer.model.network import GLOBAL_BIAS, LEFT_BIAS, LEFT_VECTORS, RIGHT_BIAS, RIGHT_VECTORS, build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, EncodeSettings, ModelSettings
from trainer.training.fold_in import learn_fold_in

# Most frequent first, like the rows of the tables.
LEFT = [b"plain", b"two words", "🎬 film".encode(), b"007", b"7", b" before", b"after ", "naïve".encode(), b'a,"b"\tc']
RIGHT = [b"lock", b"thread", b"socket", "端口".encode(), b"0", b"lock ", b"the tie"]
DIMENSION = 3
LABELS = {"center": 100.0, "scale": 5.0}


@dataclasses.dataclass(frozen=True)
class Side:
    """One side: its ids and its tables. The last row is for out-of-vocabulary ids."""

    ids: list[bytes]
    vectors: np.ndarray
    bias: np.ndarray

    def row(self, name: bytes) -> int:
        return self.ids.index(name) if name in self.ids else len(self.ids)


@dataclasses.dataclass(frozen=True)
class Planted:
    """The numbers of the model, and its path."""

    left: Side
    right: Side
    offset: float
    center: float
    scale: float
    model: Path

    def scores(self) -> np.ndarray:
        """Returns the scores of every left row with every right row. Out-of-vocabulary rows come last."""
        dots = np.array(
            [[sum(map(float.__mul__, p, q)) for q in self._wide(self.right)] for p in self._wide(self.left)]
        )
        return dots + self.left.bias[:, None].astype(float) + self.right.bias[None, :] + self.offset

    def _wide(self, side: Side) -> list[list[float]]:
        return side.vectors.astype(float).tolist()


def rows() -> list[Row]:
    """Returns pairs in which earlier ids are more frequent. Labels have mean 100 and standard deviation 5."""
    left = [name for i, name in enumerate(LEFT) for _ in range(2 * (len(LEFT) - i))]
    right = [name for i, name in enumerate(RIGHT) for _ in range(2 * (len(RIGHT) - i))]
    right += [RIGHT[0]] * (len(left) - len(right))
    return [(left[i], right[i], 95.0 + 10.0 * (i % 2)) for i in range(len(left))]


def publish(folder: Path, approximate: bool = False, seed: int = 5) -> Planted:
    """Exports the model to `folder`/serving/1 with the real preprocessing and export."""
    learned = analyze(rows(), folder, encode=EncodeSettings().model_dump(), score={"center": "mean", "scale": "std"})
    network = build_model(TableSizes(len(LEFT) + 1, len(RIGHT) + 1), ModelSettings(dimension=DIMENSION), seed=1)
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    left = Side(LEFT, draw(len(LEFT) + 1, DIMENSION), draw(len(LEFT) + 1))
    right = Side(RIGHT, draw(len(RIGHT) + 1, DIMENSION), draw(len(RIGHT) + 1))
    right.vectors[6], right.bias[6] = right.vectors[2], right.bias[2]  # a tie
    left.vectors[4] = 0  # a zero vector
    for layer, weights in (
        (LEFT_VECTORS, left.vectors),
        (RIGHT_VECTORS, right.vectors),
        (LEFT_BIAS, left.bias[:, None]),
        (RIGHT_BIAS, right.bias[:, None]),
        (GLOBAL_BIAS, np.float32(0.75)),
    ):
        network.get_layer(layer).set_weights([weights])
    model = folder / "serving" / "1"
    saved_model.export(
        network, learned, shared=False, directory=str(model), fold_in=_fold_in(network), approximate=approximate
    )
    return Planted(left, right, 0.75, LABELS["center"], LABELS["scale"], model)


def _fold_in(network: keras.Model) -> FoldIn:
    columns = list(zip(*rows(), strict=True))
    left, right = (
        np.array([ids.index(name) for name in names], np.int32)
        for ids, names in zip((LEFT, RIGHT), columns[:2], strict=True)
    )
    label = (np.array(columns[2], np.float32) - LABELS["center"]) / LABELS["scale"]
    pairs = Pairs(left, right, label.astype(np.float32))
    return learn_fold_in(network, pairs, (len(LEFT), len(RIGHT)), ModelSettings(dimension=DIMENSION), AlsSettings())
