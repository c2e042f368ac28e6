"""Vectors of unseen entities, compared with plain NumPy and with training with these entities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.trainer.transforms import analyze
from trainer.data.pairs import Pairs
from trainer.data.transform_graph import TransformGraph
from trainer.export.fold_in import FoldInSide, Given
from trainer.export.published_model import PublishedModel
from trainer.export.sides import SideVariables, TableVariables
from trainer.export.unseen import Unseen
from trainer.model.fold_in import FoldIn, Part
from trainer.model.table_sizes import TableSizes
from trainer.settings import EncodeSettings, ModelSettings, TrainSettings
from trainer.training import fitting
from trainer.training.fold_in import learn_fold_in

pytestmark = pytest.mark.tensorflow

LEFTS, RIGHTS, RANK = 120, 60, 3
SIZES = TableSizes(LEFTS + 1, RIGHTS + 1)
KNOWN = (LEFTS, RIGHTS)
ALS = TrainSettings(optimizer="als", epochs=8, early_stopping=None)
GRADIENT = TrainSettings(epochs=40, batch_size=256, learning_rate=0.3, early_stopping=None)
GRAPH = TrainSettings(optimizer="adam", epochs=60, learning_rate=0.05, early_stopping=None)
CENTER, SCALE = 3.0, 2.0

# The rows of the planted model. A pair has its label with noise, or is a positive if its label is high.
_RANDOM = np.random.default_rng(4)
_ROWS = _RANDOM.normal(size=(LEFTS, RANK)), _RANDOM.normal(size=(RIGHTS, RANK))
TRUTH = _ROWS[0] @ _ROWS[1].T + 0.5 * _RANDOM.normal(size=(1, RIGHTS)) + 0.5 * _RANDOM.normal(size=(LEFTS, 1))


def _labels() -> Pairs:
    """About half of all pairs, with labels."""
    left, right = np.nonzero(_RANDOM.random(TRUTH.shape) < 0.5)
    label = TRUTH[left, right] + 0.1 * np.random.default_rng(1).normal(size=len(left))
    return Pairs(left.astype(np.int32), right.astype(np.int32), label.astype(np.float32))


def _positives() -> Pairs:
    left, right = np.nonzero(TRUTH > 1.5)
    return Pairs(left.astype(np.int32), right.astype(np.int32), np.ones(len(left), np.float32))


@pytest.fixture(scope="module")
def transform(tmp_path_factory: pytest.TempPathFactory) -> TransformGraph:
    """Ids of which row i of each table has the id `l<i>` or `r<i>`, and labels (score - 3) / 2."""
    rows = [
        (f"l{i % LEFTS:03d}".encode(), f"r{i % RIGHTS:03d}".encode(), CENTER + SCALE * (1 - 2 * (i % 2)))
        for i in range(2 * LEFTS)
    ]
    folder = tmp_path_factory.mktemp("transform")
    graph = analyze(rows, folder, encode=EncodeSettings().model_dump(), score={"center": "mean", "scale": "std"})
    assert len(graph.vocabulary_by_name("left")) == LEFTS and len(graph.vocabulary_by_name("right")) == RIGHTS
    return graph


class Trained:
    """A trained model, its fold-in, and its published form. Entities are numbers of rows."""

    def __init__(self, transform: TransformGraph, pairs: Pairs, model: ModelSettings, train: TrainSettings) -> None:
        network, _ = fitting.fit(pairs, SIZES, model, train)
        self.fold_in: FoldIn = learn_fold_in(network, pairs, KNOWN, model, train.als)
        self.model = PublishedModel(network, transform, shared=False, fold_in=self.fold_in)
        self.ids = {side: transform.vocabulary_by_name(side) for side in ("left", "right")}
        self.left, self.right = self.model.left.vectors.numpy(), self.model.right.vectors.numpy()
        self.bias = self.model.left.bias.numpy(), self.model.right.bias.numpy()
        self.offset = float(self.model.offset)

    def embed(self, side: str, given: list[list[int]], score: object = ()) -> tuple[np.ndarray, np.ndarray]:
        answer = Unseen(self.model, side).embed(*self._inputs(side, given, score))
        return answer["embedding"].numpy(), answer["bias"].numpy()

    def recommend(self, side: str, given: list[list[int]], k: int) -> dict[str, np.ndarray]:
        answer = Unseen(self.model, side).recommend(*self._inputs(side, given, ()), tf.constant(k))
        return {name: value.numpy() for name, value in answer.items()}

    def scores(self, given: list[int], score: object = ()) -> np.ndarray:
        """The scores of an unseen left entity with every right entity."""
        (vector,), (bias,) = self.embed("left", [given], [list(score)] if len(score) else ())
        return self.right[:RIGHTS] @ vector + self.bias[1][:RIGHTS] + bias + self.offset

    def _inputs(self, side: str, given: list[list[int]], score: object) -> tuple[tf.Tensor, tf.Tensor]:
        ids, width = self.ids["right" if side == "left" else "left"], max(map(len, given))
        padded = [[*(ids[i] for i in row), *[b""] * (width - len(row))] for row in given]
        return tf.constant(padded, tf.string), tf.constant(score, tf.float32)


Train = Callable[[ModelSettings, TrainSettings, Pairs], Trained]


@pytest.fixture(scope="module")
def train(transform: TransformGraph) -> Train:
    return lambda model, settings, pairs: Trained(transform, pairs, model, settings)


def _of(pairs: Pairs, left: int) -> np.ndarray:
    return pairs.right[pairs.left == left]


@pytest.mark.parametrize("exponent", [1.0, 0.6])
@pytest.mark.parametrize("side", ["left", "right"])
def test_ials_solves_its_normal_equations(train: Train, side: str, exponent: float) -> None:
    pairs = _positives()
    weight = np.random.default_rng(2).uniform(0.5, 2, len(pairs)).astype(np.float32)
    pairs = Pairs(pairs.left, pairs.right, pairs.label, weight)
    model = ModelSettings(objective="ials", dimension=4, regularization=0.05, unobserved_weight=0.2)
    settings = ALS.replace(als=ALS.als.replace(frequency_exponent=exponent))
    trained = train(model, settings, pairs)
    own, others = (pairs.left, pairs.right) if side == "left" else (pairs.right, pairs.left)
    table = trained.right if side == "left" else trained.left
    given, scores = [0, 5, 9], [1.0, 2.0, 0.5]
    count = np.bincount(own, weight)
    frequency = count[count > 0] + 0.2 * len(np.unique(others))
    level = frequency.sum() / (frequency**exponent).sum()
    penalty = 0.05 * level * (sum(scores) + 0.2 * len(np.unique(others))) ** exponent
    q = table[given].astype(float)
    matrix = (q.T * scores) @ q + 0.2 * table.T.astype(float) @ table + penalty * np.eye(4)
    expected = np.linalg.solve(matrix, q.T @ scores)
    np.testing.assert_allclose(trained.embed(side, [given], [scores])[0][0], expected, rtol=1e-4, atol=1e-5)
    ones = np.linalg.solve(
        q.T @ q + 0.2 * table.T.astype(float) @ table
        + 0.05 * level * (3 + 0.2 * len(np.unique(others))) ** exponent * np.eye(4),
        q.sum(axis=0),
    )  # fmt: skip
    np.testing.assert_allclose(trained.embed(side, [given])[0][0], ones, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", ["spectral", "blend", "ials"])
def test_rows_of_training_are_found_again(train: Train, objective: str) -> None:
    """With its own pairs, an entity of the training data gets its trained row."""
    pairs = _positives()
    model = ModelSettings(objective=objective, dimension=8, regularization=0.02)
    trained = train(model, ALS.replace(epochs=40), pairs)
    for side, own, others, table in (
        ("left", pairs.left, pairs.right, trained.left),
        ("right", pairs.right, pairs.left, trained.right),
    ):
        some = np.unique(own)[:20]
        found, bias = trained.embed(side, [others[own == entity].tolist() for entity in some])
        np.testing.assert_allclose(found, table[some], rtol=0.02, atol=0.02 * np.abs(table[some]).max())
        assert not bias.any()


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (ModelSettings(dimension=4), ALS),
        (ModelSettings(dimension=6), ALS.replace(als=ALS.als.replace(copies=2))),
        (ModelSettings(dimension=4, bias=False), ALS),
        (ModelSettings(dimension=4, regularization=0.001), GRADIENT),
        (ModelSettings(dimension=4, objective="softmax"), GRADIENT),
        (ModelSettings(dimension=4, objective="logistic", temperature=0.5), GRADIENT),
    ],
    ids=lambda value: getattr(value, "objective", getattr(value, "optimizer", "")),
)
def test_row_is_the_most_probable_one(train: Train, model: ModelSettings, settings: TrainSettings) -> None:
    """The dual form of the same regression: a Gaussian process on the given pairs."""
    positives = model.objective != "regression"
    trained = train(model, settings, _positives() if positives else _labels())
    (part,) = trained.fold_in.left
    covariance = np.linalg.inv(part.precision)
    mean = covariance @ part.pull
    given, scores = [3, 1, 40], [9.0, -1.0, 4.0]
    design = trained.right[given].astype(float)
    if trained.fold_in.biased:
        design = np.concatenate([design, np.ones((3, 1))], axis=1)
    labels = np.full(3, trained.fold_in.liked) if positives else (np.array(scores) - CENTER) / SCALE
    residual = labels - trained.offset - trained.bias[1][given]
    kernel = design @ covariance @ design.T + np.eye(3)
    expected = mean + covariance @ design.T @ np.linalg.solve(kernel, residual - design @ mean)
    vector, bias = trained.embed("left", [given], () if positives else [scores])
    row = np.append(vector[0], bias[0]) if trained.fold_in.biased else vector[0]
    np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "settings", "least"),
    [
        (ModelSettings(dimension=4), ALS, 0.97),
        (ModelSettings(dimension=6), ALS.replace(als=ALS.als.replace(copies=2)), 0.97),
        (ModelSettings(dimension=4, regularization=0.001), GRADIENT, 0.95),
    ],
    ids=["als", "copies", "gradient"],
)
def test_scores_are_those_of_training_with_the_entity(
    train: Train, model: ModelSettings, settings: TrainSettings, least: float
) -> None:
    pairs, new = _labels(), [7, 50, 101]
    without = train(model, settings, pairs.take(np.flatnonzero(~np.isin(pairs.left, new))))
    whole = train(model, settings, pairs)
    for entity in new:
        mine = pairs.left == entity
        unseen = np.setdiff1d(np.arange(RIGHTS), pairs.right[mine])
        found = without.scores(pairs.right[mine].tolist(), (pairs.label[mine] * SCALE + CENTER).tolist())[unseen]
        retrained = whole.right[:RIGHTS] @ whole.left[entity] + whole.bias[1][:RIGHTS] + whole.bias[0][entity]
        retrained = retrained[unseen] + whole.offset
        assert np.corrcoef(found, retrained)[0, 1] > least
        truth = TRUTH[entity, unseen]
        error = np.sqrt(np.mean((found - truth) ** 2))
        assert error < 0.4 * truth.std() and error < 1.5 * np.sqrt(np.mean((retrained - truth) ** 2)) + 0.1


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (ModelSettings(dimension=8, objective="ials", regularization=0.02), ALS),
        (ModelSettings(dimension=8, objective="spectral"), ALS),
        (ModelSettings(dimension=8, objective="blend", regularization=0.02), ALS),
        (ModelSettings(dimension=4, objective="softmax"), GRADIENT),
        (ModelSettings(dimension=4, objective="softmax", normalize=True, temperature=0.1), GRADIENT),
        (ModelSettings(dimension=4, objective="logistic"), GRADIENT),
        (ModelSettings(dimension=4, objective="pairwise"), GRADIENT),
        (ModelSettings(dimension=8, objective="lightgcn"), GRAPH),
        (ModelSettings(dimension=4, objective="cosine"), GRADIENT),
    ],
    ids=lambda value: getattr(value, "objective", ""),
)
def test_unseen_entity_gets_its_planted_favorites(train: Train, model: ModelSettings, settings: TrainSettings) -> None:
    """From half of its positives, an unseen entity gets the other half first, about as after training with it."""
    pairs, new = _positives(), np.arange(0, 30)
    seen = np.random.default_rng(3).random(len(pairs)) < 0.5
    is_new = np.isin(pairs.left, new)
    without = train(model, settings, pairs.take(np.flatnonzero(~is_new)))
    whole = train(model, settings, pairs.take(np.flatnonzero(~is_new | seen)))
    found, retrained = [], []
    for entity in new:
        given = pairs.right[(pairs.left == entity) & seen]
        wanted = pairs.right[(pairs.left == entity) & ~seen]
        if not len(given) or not len(wanted):
            continue
        scores = without.scores(given.tolist())
        again = whole.right[:RIGHTS] @ whole.left[entity] + whole.bias[1][:RIGHTS]
        for ranked, into in ((scores, found), (again, retrained)):
            others = np.setdiff1d(np.arange(RIGHTS), [*given, *wanted])
            into.append(np.mean(ranked[wanted][:, None] > ranked[others][None, :]))  # the area under the ROC curve
    assert len(found) > 20
    # Unit vectors without popularity learn little of this truth, and have little to find.
    least = 0.65 if model.has_unit_vectors else 0.9
    assert np.mean(found) > max(least, np.mean(retrained) - 0.05)
    if model.has_unit_vectors:
        np.testing.assert_allclose(np.linalg.norm(without.embed("left", [[1, 2]])[0], axis=1), 1, rtol=1e-5)


def test_given_entities_are_left_out(train: Train) -> None:
    trained = train(ModelSettings(dimension=4, objective="ials"), ALS, _positives())
    given = [[1, 2, 3], [5], [], list(range(RIGHTS))]
    answer = trained.recommend("left", given, 99)
    names = trained.ids["right"]
    assert answer["known"].tolist() == [True, True, False, True]
    for row, out in enumerate(given):
        left = [name for name in answer["right_id"][row].tolist() if name]
        assert set(left) == {names[i] for i in range(RIGHTS) if i not in out}
        assert answer["right_id"].shape == (4, RIGHTS)
        expected = np.sort(np.delete(trained.scores(out), out) if out else trained.scores(out))[::-1]
        np.testing.assert_allclose(answer["score"][row][: len(left)], expected, atol=1e-5)
        assert (answer["score"][row][len(left) :] == np.finfo(np.float32).min).all()


def test_unknown_given_ids_have_no_effect(train: Train) -> None:
    trained = train(ModelSettings(dimension=4), ALS, _labels())
    ids = trained.ids["right"]
    unseen = Unseen(trained.model, "left")
    one, other = (
        unseen.embed(tf.constant([given]), tf.constant([score]))["embedding"].numpy()
        for given, score in (([ids[3], ids[7]], [5.0, 1.0]), ([b"?", ids[3], b"", ids[7]], [9.0, 5.0, 0.0, 1.0]))
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("score", "words"),
    [([[1.0]], "a score for each given_id"), ([1.0, 2.0], "a score for each"), ([[1.0, np.nan]], "must be finite")],
)
def test_scores_that_do_not_fit_are_refused(train: Train, score: list, words: str) -> None:
    trained = train(ModelSettings(dimension=2), ALS.replace(epochs=1), _labels())
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        trained.embed("left", [[1, 2]], score)


def test_negative_weights_are_refused(train: Train) -> None:
    trained = train(ModelSettings(dimension=2, objective="ials"), ALS.replace(epochs=1), _positives())
    with pytest.raises(tf.errors.InvalidArgumentError, match="must not be negative"):
        trained.embed("left", [[1, 2]], [[1.0, -1.0]])


def test_signs_are_enough_for_a_model_of_signs(train: Train, tmp_path: Path) -> None:
    pairs = _labels()
    model = ModelSettings(dimension=4, objective="logistic")
    trained = train(model, GRADIENT, pairs)
    given = _of(pairs, 3)
    signs = np.sign(TRUTH[3, given])
    once = trained.scores(given.tolist(), (CENTER + SCALE * signs).tolist())
    twice = trained.scores(given.tolist(), (CENTER + 5 * SCALE * signs).tolist())
    np.testing.assert_allclose(once, twice, atol=1e-5)
    others = np.setdiff1d(np.arange(RIGHTS), given)
    assert np.mean(np.sign(once[others]) == np.sign(TRUTH[3, others])) > 0.8


def test_answer_is_that_of_implicit() -> None:
    """`recalculate_user` of the package implicit: (Y'Y + Y'(C - I)Y + lambda I) x = Y'C p, for confidences C."""
    random = np.random.default_rng(6)
    table, confidence, penalty = random.normal(size=(40, 5)).astype(np.float32), 4.0, 0.7
    given, y = [3, 8, 20], table.astype(float)
    # Their loss of a seen pair is C (1 - s)^2, and ours w (1 - s)^2 + s^2. So w = C - 1, and the target is C / w.
    part = Part((0, 5), y.T @ y, np.zeros(5), 1.0, confidence / (confidence - 1), (penalty, 0.0, 0.0))
    side = SideVariables(
        "right", TableVariables([b"%d" % i for i in range(40)], table), np.zeros(40, np.float32), False
    )
    found, _ = FoldInSide("left", (part,), FoldIn((part,), (part,), False, True)).rows_of(
        Given(tf.constant([given]), tf.ones((1, 3), tf.bool), tf.constant([[confidence - 1] * 3], tf.float64)),
        side, tf.constant(0.0), tf.constant(0.0), tf.constant(1.0),
    )  # fmt: skip
    extra = np.zeros(40)
    extra[given] = confidence - 1
    expected = np.linalg.solve(
        y.T @ y + y.T @ np.diag(extra) @ y + penalty * np.eye(5), confidence * y[given].sum(axis=0)
    )
    np.testing.assert_allclose(found.numpy()[0], expected, rtol=1e-5)
