"""Locating and calling a published model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from errors import KindredError, ModelNotFound
from serving.local_model import LocalModel
from serving.store import find_model
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted

pytestmark = pytest.mark.tensorflow


def _version(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "saved_model.pb").touch()
    return folder / name


def test_newest_version_is_found(tmp_path: Path) -> None:
    for name in ("1", "9", "10", "2"):
        _version(tmp_path, name)
    assert find_model(tmp_path) == tmp_path / "10"


def test_model_directory_is_found(tmp_path: Path) -> None:
    version = _version(tmp_path, "3")
    _version(version, "4")
    assert find_model(version) == version


def test_other_entries_are_ignored(tmp_path: Path) -> None:
    _version(tmp_path, "2")
    for name in (".staging-9", "9.old", "-9", "v9", "1e9", "latest", "²"):
        _version(tmp_path, name)
    (tmp_path / "9").write_text("a file")
    assert find_model(tmp_path) == tmp_path / "2"


def test_leading_zeros_are_a_version(tmp_path: Path) -> None:
    _version(tmp_path, "2")
    assert find_model(_version(tmp_path, "0010").parent) == tmp_path / "0010"


@pytest.mark.parametrize("names", [(), (".staging-1", "old")])
def test_directory_without_versions_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        _version(tmp_path, name)
    with pytest.raises(ModelNotFound) as refused:
        find_model(tmp_path)
    problem = "no model version in this directory. `kindred run` publishes to ROOT/serving"
    assert str(refused.value) == f"--model {tmp_path}: {problem}"
    assert isinstance(refused.value, KindredError) and refused.value.exit_code == 2


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no such directory"):
        find_model(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(ModelNotFound):
        find_model(tmp_path / "file")


@pytest.mark.parametrize("content", [None, b"", b"no model", b"\x08\x01"])
def test_unreadable_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelNotFound) as refused:
        LocalModel(tmp_path)
    assert str(refused.value).startswith(f"--model {tmp_path}: cannot load the model: ")
    assert "\n" not in str(refused.value)


def test_missing_variables_are_refused(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes((planted.model / "saved_model.pb").read_bytes())
    with pytest.raises(ModelNotFound, match="cannot load the model: "):
        LocalModel(tmp_path)


def test_foreign_model_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(tmp_path), signatures={"double": module.double.get_concrete_function()})
    with pytest.raises(ModelNotFound, match="not a Kindred model, because it has no signature `score`"):
        LocalModel(tmp_path)


@pytest.fixture(scope="module")
def model(planted: Planted) -> LocalModel:
    return LocalModel(find_model(planted.model.parent))


def test_scores_are_planted_scores(planted: Planted, model: LocalModel) -> None:
    table = planted.scores()
    for left, right in ((LEFT[0], RIGHT[0]), (LEFT[2], RIGHT[3]), (LEFT[3], b"never seen"), (b"never seen", RIGHT[5])):
        answer = model.score(left, right)
        expected = table[planted.left.row(left), planted.right.row(right)]
        assert answer.score == pytest.approx(expected, abs=1e-5)
        assert answer.strength == pytest.approx(abs(expected), abs=1e-5)
        assert answer.value == pytest.approx(100 + 5 * expected, abs=1e-4)
        assert (answer.left_known, answer.right_known) == (left in LEFT, right in RIGHT)
        assert {type(value) for value in vars(answer).values()} == {float, bool}


@pytest.mark.parametrize("query", [LEFT[2], b"never seen"])
def test_similar_right_takes_left_id(planted: Planted, model: LocalModel, query: bytes) -> None:
    scores = planted.scores()[planted.left.row(query)][: len(RIGHT)]
    neighbors, known = model.similar("right", query, 3)
    assert known is (query in LEFT)
    assert [n.score for n in neighbors] == pytest.approx(sorted(scores, reverse=True)[:3], abs=1e-5)
    assert [scores[RIGHT.index(n.id)] for n in neighbors] == pytest.approx([n.score for n in neighbors], abs=1e-5)


def test_similar_left_takes_right_id(planted: Planted, model: LocalModel) -> None:
    scores = planted.scores()[:, planted.right.row(RIGHT[3])][: len(LEFT)]
    neighbors, known = model.similar("left", RIGHT[3], 99)
    assert known is True
    assert [n.id for n in neighbors] == [LEFT[i] for i in np.argsort(-scores)]
    assert model.similar("left", RIGHT[3], 0) == ([], True)


def test_excluded_ids_are_left_out(planted: Planted, model: LocalModel) -> None:
    scores = planted.scores()[0][: len(RIGHT)]
    best = [RIGHT[i] for i in np.argsort(-scores, kind="stable")]
    neighbors, _ = model.similar("right", LEFT[0], 99, [best[0], b"never seen", best[2]])
    assert {n.id for n in neighbors} == {*best} - {best[0], best[2]}


def test_neighbors_are_of_the_same_side(model: LocalModel) -> None:
    found, known = model.neighbors("left", LEFT[1], 2)
    assert known and len(found) == 2 and {n.id for n in found} <= {*LEFT} - {LEFT[1]}
    assert model.neighbors("right", LEFT[1], 2)[1] is False
    assert [model.knows(side, LEFT[1]) for side in ("left", "right")] == [True, False]


def test_liked_entities_are_left_out(model: LocalModel) -> None:
    liked = [RIGHT[0], b"never seen"]
    whole, known = model.recommend("right", liked, 99)
    assert known and {n.id for n in whole} == {*RIGHT} - {RIGHT[0]}
    assert [n.score for n in whole] == sorted((n.score for n in whole), reverse=True)
    best = whole[0].id
    assert model.recommend("right", liked, 2, exclude=[best])[0] == whole[1:3]
    assert model.recommend("left", [b"never seen"], 2)[1] is False
    assert model.known("left", [LEFT[0], b"?", LEFT[1]]) == [True, False, True]


def test_model_of_an_earlier_version_is_explained(planted: Planted, tmp_path: Path) -> None:
    model = tf.saved_model.load(str(planted.model))
    kept = {name: model.signatures[name] for name in ("score", "embed_left")}
    tf.saved_model.save(model, str(tmp_path), signatures=kept)
    with pytest.raises(ModelNotFound, match="has no signature `similar_right`, because an earlier version"):
        LocalModel(tmp_path).similar("right", LEFT[0], 3)


def test_stderr_is_silenced_only_inside_block() -> None:
    program = (
        "import os, sys\n"
        "from compat.tensorflow import silenced_stderr\n"
        "os.write(2, b'before;')\n"
        "with silenced_stderr():\n"
        "    os.write(2, b'from C++;')\n"
        "    print('from Python', file=sys.stderr)\n"
        "try:\n"
        "    with silenced_stderr():\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    os.write(2, b'after;')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "before;after;")


def test_import_loads_only_tensorflow() -> None:
    program = (
        "from compat.process import prepare\nprepare()\n"  # as every entry point does
        "import sys, serving.local_model\n"
        "print(*sorted({'pandas', 'sklearn', 'tfx', 'tensorflow_transform', 'apache_beam'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()) == (0, [""]), done.stderr
    assert done.stderr == ""


def test_approximate_ranking_leaves_out_ids(planted: Planted) -> None:
    model = LocalModel(planted.model)
    exact, _ = model.similar("right", LEFT[0], 5)
    left_out = [exact[1].id, exact[1].id, b"unknown"]
    found, known = model.similar("right", LEFT[0], 3, left_out, probes=0)
    assert known and [neighbor.id for neighbor in found] == [exact[at].id for at in (0, 2, 3)]


def test_model_without_index_is_refused(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(planted.model)
    monkeypatch.setattr(model._model, "signatures", {"score": None})
    with pytest.raises(ModelNotFound, match=r"similar_right_approximate.*Set publish\.approximate: true"):
        model.similar("right", LEFT[0], 3, probes=4)
