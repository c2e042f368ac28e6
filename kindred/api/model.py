"""A published model in this process."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.batch_lists.ranking import is_text, rank
from components.batch_lists.seen import SeenPairs
from errors import ConfigError, ModelNotFound
from kindred.api.ids import Id, checked_side, column, encoded
from pipeline.commands.batch import scores
from serving.answers import Neighbor as Answer
from serving.answers import PairScore
from serving.client import OTHER
from serving.local_model import LocalModel
from serving.store import find_model


@dataclasses.dataclass(frozen=True)
class Neighbor:
    """An entity of a ranking.

    Attributes:
      id: its id. Surrogates stand for bytes that are not UTF-8.
      score: the signed score of the entity and the query, or their cosine for entities of one side.
    """

    id: str
    score: float


class Ranking(list[Neighbor]):
    """Entities, best first.

    Attributes:
      known: whether the model knows the query. If not, this is the ranking for an average entity.
    """

    def __init__(self, entities: Iterable[Neighbor], known: bool) -> None:
        super().__init__(entities)
        self.known = known

    def __repr__(self) -> str:
        return f"Ranking({super().__repr__()}, known={self.known})"


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Vectors of entities.

    Attributes:
      vectors: float32 `[n, dimension]`. An unknown id has the vector of out-of-vocabulary ids.
      known: whether the model knows each id, bool `[n]`.
    """

    vectors: np.ndarray
    known: np.ndarray


def load(where: str | os.PathLike[str]) -> Model:
    """Loads a published model.

    Args:
      where: a root, a directory of versions, or one version. Or the URL of one of them (docs/object-stores.md).

    Returns:
      The model. Of several versions, that with the highest number.

    Raises:
      ModelNotFound: there is no model, or a file of it was changed since it was published.
      StoreError, StoreUnavailable: an object store refuses a request, or cannot be reached.

    Example: `load("build/films").score("ann", "heat").value`
    """
    try:
        path = find_model(os.fspath(where)).absolute()
        return Model(LocalModel(path), path)
    except ModelNotFound as error:
        raise ModelNotFound(str(error).removeprefix("--model ")) from None


class Model:
    """A published model. `load` returns it. Ids are text or bytes.

    Attributes:
      path: the directory of its files.
    """

    def __init__(self, client: LocalModel, path: Path) -> None:
        self._client = client
        self.path = path

    @property
    def version(self) -> int | None:
        """The number of the version, or None if its directory has another name."""
        names = (self.path.name, self.path.parent.name)  # a download is in a folder of its version
        return next((int(name) for name in names if name.isdecimal()), None)

    def ids(self, side: str) -> list[str]:
        """Returns the ids that the model knows on a side, most frequent in training first.

        Args:
          side: `left` or `right`.
        """
        return [os.fsdecode(id_) for id_ in self._client.ids(checked_side(side)).to_pylist()]

    def score(self, left: Id, right: Id) -> PairScore:
        """Scores one pair.

        Returns:
          `score` (signed), `strength` (its absolute value), `value` (in the unit of the training scores), and whether
          each id is known: `left_known` and `right_known`.
        """
        return self._client.score(encoded(left, "left"), encoded(right, "right"))

    def score_pairs(self, left: Iterable[Id], right: Iterable[Id]) -> pa.Table:
        """Scores many pairs.

        Args:
          left: the left id of each pair, `[n]`: a list, a NumPy array, a pandas column or an Arrow array.
          right: the right id of each pair, `[n]`.

        Returns:
          A table of `n` rows in the order of the pairs, with `left_id`, `right_id`, `score`, `strength`, `value`,
          `left_known` and `right_known`.

        Raises:
          ConfigError: the arguments have different lengths, or something else than ids.
        """
        lefts, rights = column(left, "left"), column(right, "right")
        if len(lefts) != len(rights):
            raise ConfigError(f"left and right: must have the same length (got {len(lefts)} and {len(rights)})")
        schema = scores.schema_of(is_text(lefts) and is_text(rights))
        tables = scores.score(self._client, [(lefts, rights)])
        return pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in tables)])

    def similar(
        self, id_: Id, side: str = "right", k: int = 10, exclude: Iterable[Id] = (), approximate: bool = False
    ) -> Ranking:
        """Ranks the entities of one side by their score with an entity of the other side.

        Args:
          id_: an entity of the other side.
          side: the side of the answers, `left` or `right`.
          k: the length of the ranking. It is shorter if there are fewer entities.
          exclude: ids to leave out.
          approximate: whether to read only a part of the catalog. The model needs an index (publish.approximate).

        Raises:
          ModelNotFound: the model has no index.
        """
        left_out = [encoded(one, "exclude") for one in exclude]
        probes = 0 if approximate else None
        return _ranking(self._client.similar(checked_side(side), encoded(id_, "id_"), k, left_out, probes))

    def neighbors(self, id_: Id, side: str = "left", k: int = 10, approximate: bool = False) -> Ranking:
        """Ranks the other entities of the side of an entity by the cosine of their vectors.

        The arguments are those of `similar`. `side` is the side of `id_` and of the answers.
        """
        probes = 0 if approximate else None
        return _ranking(self._client.neighbors(checked_side(side), encoded(id_, "id_"), k, probes))

    def similar_to_new(
        self, liked: Iterable[Id], side: str = "right", k: int = 10, exclude: Iterable[Id] = ()
    ) -> Ranking:
        """Ranks the entities of one side for an entity that the model has never seen.

        Args:
          liked: ids of `side` in pairs with the new entity. They are not among the answers.
          side: the side of the answers.
          k: the length of the ranking.
          exclude: more ids to leave out.
        """
        ids, left_out = (column(some, name).to_pylist() for some, name in ((liked, "liked"), (exclude, "exclude")))
        return _ranking(self._client.recommend(checked_side(side), ids, k, left_out))

    def embed(self, ids: Iterable[Id], side: str) -> Embeddings:
        """Returns the vectors of entities of a side.

        A score is the dot product of two vectors, plus biases if the model has any (model.bias).
        """
        found = self._client.embeddings(checked_side(side), column(ids, "ids").to_numpy(zero_copy_only=False))
        return Embeddings(*found)

    def recommend(
        self,
        ids: Iterable[Id] | None = None,
        side: str = "right",
        k: int = 10,
        exclude: tuple[Iterable[Id], Iterable[Id]] | None = None,
        neighbors: bool = False,
    ) -> pa.RecordBatchReader:
        """Ranks the best entities for many entities, a block at a time, as `kindred recommend` does.

        Args:
          ids: the entities to rank for. Default: all of the other side, or of `side` with `neighbors`. Unknown ids
            get no list.
          side: the side of the answers.
          k: the length of each list. It is shorter if there are fewer entities.
          exclude: left ids `[n]` and right ids `[n]` of pairs that no list repeats.
          neighbors: whether to rank entities of the same side, by cosine.

        Returns:
          An iterator of Arrow batches, with the query's id, `rank` from 1, the answer's id and `score`. The columns of
          ids are named like the sides, and `query_id` and `neighbor_id` with `neighbors`.

        Raises:
          ConfigError: `exclude` has other columns, or is given together with `neighbors`.
        """
        if exclude is not None and neighbors:
            raise ConfigError("exclude: has no effect with neighbors, because pairs have both sides. Omit one")
        queried = checked_side(side) if neighbors else OTHER[checked_side(side)]
        pairs = None
        if exclude is not None:
            both = [column(some, f"exclude[{index}]") for index, some in enumerate(exclude)]
            if len(both) != 2 or len(both[0]) != len(both[1]):
                raise ConfigError("exclude: must be two columns of the same length, left ids and right ids")
            pairs = (both[0], both[1]) if queried == "left" else (both[1], both[0])

        def seen(known: pa.Array, answers: pa.Array) -> SeenPairs:
            assert pairs is not None
            return SeenPairs.of_ids([pairs], known, answers)

        queries = None if ids is None else column(ids, "ids")
        ranking = rank(self._client, side, k, queries, seen if pairs is not None else None, neighbors)

        def batches() -> Iterator[pa.RecordBatch]:
            for _, table in ranking.blocks(0, ranking.count):
                yield from table.to_batches()

        return pa.RecordBatchReader.from_batches(ranking.schema, batches())


def _ranking(answer: tuple[list[Answer], bool]) -> Ranking:
    found, known = answer
    return Ranking((Neighbor(os.fsdecode(one.id), one.score) for one in found), known)
