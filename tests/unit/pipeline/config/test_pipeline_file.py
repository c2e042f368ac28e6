"""A complete pipeline file: reading and writing."""

from __future__ import annotations

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config import SCHEMA, PipelineConfig, load_config
from tests.unit.pipeline.config.pipeline_files import full_tree, write

REPOSITORY = SCHEMA.parent.parent
SHIPPED = [*REPOSITORY.glob("examples/*/pipeline.yaml"), *REPOSITORY.glob("benchmarks/pipelines/*.yaml")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_shipped_files_are_valid(path: Path) -> None:
    load_config(path)


def test_shipped_files_are_found() -> None:
    assert {path.stem for path in SHIPPED} >= {"pipeline", "kiba", "lastfm", "ml-100k", "ml-1m", "ml-1m-ncf"}


FINITE = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(1, 10**9)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False)
FRACTION = st.floats(0, 1, exclude_min=True, exclude_max=True)
DATE = st.dates(max_value=date(2100, 1, 1)).map(str)
NAMES = st.text(min_size=1, max_size=6)


def _section(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Returns a mapping in which every key is optional."""
    return st.fixed_dictionaries({}, optional=keys)


COLUMNS = st.one_of(
    st.lists(names, min_size=3, max_size=5, unique=True)
    .map(lambda names: dict(zip(("left", "right", "score", "weight", "time"), names)))  # noqa: B905
    for names in (NAMES, st.integers(0, 99))
)  # fmt: skip
RULE = st.one_of(
    st.fixed_dictionaries({"below": FINITE}),
    st.fixed_dictionaries({"above": FINITE}),
    st.fixed_dictionaries(
        {"better_than": st.sampled_from(["baseline", "last_blessed"])}, optional={"margin": FINITE | st.none()}
    ),
)
TREES = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True),
        "data": st.fixed_dictionaries(
            {"path": st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1)},
            optional={
                "format": st.sampled_from(["auto", "csv", "tsv"]),
                "quoting": st.sampled_from(["auto", "double", "none"]),
                "duplicates": st.sampled_from(["keep", "last", "mean", "refuse"]),
                "max_id_bytes": WHOLE,
                "columns": COLUMNS,
                "spans": _section(latest=WHOLE | st.none(), first=st.integers(0, 9) | st.none())
                | _section(first=DATE, last=st.just("9999-01-01")),
                "age_weight": st.none() | st.fixed_dictionaries({"half_life": POSITIVE}),
                "split": _section(by=st.sampled_from(["pair", "left"]), eval_fraction=FRACTION),
                "max_quarantined_fraction": st.floats(0, 1) | st.sampled_from([0, 1]),
            },
        ),
    },
    optional={
        "encode": _section(
            min_count=WHOLE,
            max_vocabulary=WHOLE | st.none(),
            oov_buckets=WHOLE,
            oov_hashes=st.just(1),
            shared=st.booleans(),
        ),
        "score": _section(
            center=st.sampled_from(["mean", "midpoint", "none"]), scale=st.sampled_from(["std", "none"])
        ),
        "model": _section(
            dimension=WHOLE, bias=st.booleans(), regularization=st.just(0) | POSITIVE, initial_scale=POSITIVE
        ),
        "train": _section(
            epochs=WHOLE,
            batch_size=WHOLE,
            optimizer=st.sampled_from(["adagrad", "adam", "sgd"]),
            learning_rate=POSITIVE | WHOLE,
            seed=st.integers(0, 2**32 - 1),
            warm_start=st.booleans(),
            early_stopping=st.none() | _section(validation_fraction=FRACTION, patience=WHOLE, min_delta=POSITIVE),
        ),
        "evaluate": _section(
            metrics=st.lists(st.sampled_from(["rmse", "mae"]), max_size=2, unique=True),
            bless=RULE.map(lambda rule: [{"metric": "rmse", **rule}, {"metric": "mae", **rule}]),
        ),
        "publish": _section(to=NAMES, keep=WHOLE),
    },
)  # fmt: skip


def test_file_is_utf_8(folder: Path) -> None:
    path = folder / "pipeline.yaml"
    path.write_bytes("name: films\ndata: {path: ratings.csv, columns: {left: Größe, right: 映画}}\n".encode())
    columns = load_config(path).data.columns
    assert (columns.left, columns.right) == ("Größe", "映画")


@given(TREES)
@example({"name": "films", "data": {"path": "ratings.csv"}, "publish": {"to": "\x85"}})
def test_valid_file_round_trips(folder: Path, tree: dict[str, Any]) -> None:
    config = load_config(write(folder, tree))
    whole = config.to_json()
    assert json.loads(json.dumps(whole)) == whole

    def says(said: Any, read: Any) -> bool:
        if isinstance(said, dict):
            return all(key == "path" or says(value, read[key]) for key, value in said.items())
        if isinstance(said, list):
            return len(said) == len(read) and all(map(says, said, read))
        return bool(said == read)

    assert says(tree, whole)
    assert PipelineConfig.model_validate(copy.deepcopy(whole)) == config
    assert load_config(write(folder, whole)) == config


def test_configuration_is_frozen(folder: Path) -> None:
    config = load_config(write(folder, full_tree()))
    with pytest.raises(ValueError, match="frozen"):
        config.train.epochs = 7  # type: ignore[misc]
