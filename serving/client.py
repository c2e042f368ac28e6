"""The client of a published model, in this process or behind an endpoint. Imports neither TensorFlow nor NumPy."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from serving.answers import Neighbor, PairScore

OTHER = {"left": "right", "right": "left"}


class ModelClient(abc.ABC):
    """Calls the signatures of a published model. `LocalModel` and `Endpoint` are its implementations."""

    @abc.abstractmethod
    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        """Calls a signature.

        Args:
          signature: its name.
          inputs: nested lists, or a scalar, by the name of the input. Ids are bytes.

        Returns:
          Nested lists by the name of the output.
        """

    def score(self, left_id: bytes, right_id: bytes) -> PairScore:
        """Scores one pair.

        Args:
          left_id: the id of the left entity.
          right_id: the id of the right entity.

        Returns:
          The score. Unknown ids are scored too, and flagged.
        """
        answer = self.predict("score", {"left_id": [left_id], "right_id": [right_id]})
        names = ("score", "strength", "value", "left_known", "right_known")
        return PairScore(**{name: answer[name][0] for name in names})

    def similar(
        self, side: str, query_id: bytes, k: int, exclude: Sequence[bytes] = (), probes: int | None = None
    ) -> tuple[list[Neighbor], bool]:
        """Finds the entities of one side that score highest with an entity of the other side.

        Args:
          side: the side to search, `left` or `right`.
          query_id: the id of an entity on the other side.
          k: the maximum number of entities to return.
          exclude: ids of `side` to leave out.
          probes: asks for an approximate ranking that reads so many blocks of the index, or the number that the model
            chooses with 0. None asks for the exact ranking.

        Returns:
          The entities, best first, and whether the query is known.
        """
        signature, inputs = f"similar_{side}", {f"{OTHER[side]}_id": [query_id], "k": k}
        left_out = set(exclude)
        if probes is not None:
            # Approximate rankings have no filter. More answers replace the excluded ones.
            signature, inputs = _approximate(signature, inputs | {"k": k + len(left_out)}, probes)
        elif exclude:
            signature, inputs = f"{signature}_filtered", inputs | {"exclude": list(exclude), "candidates": []}
        found, known = self._ranking(side, self.predict(signature, inputs), OTHER[side], query_id)
        return [neighbor for neighbor in found if neighbor.id not in left_out][:k], known

    def neighbors(self, side: str, query_id: bytes, k: int, probes: int | None = None) -> tuple[list[Neighbor], bool]:
        """Finds the entities of one side whose vectors have the highest cosine with that of an entity of this side.

        Args:
          side: `left` or `right`.
          query_id: the id of an entity of this side.
          k: the maximum number of entities to return.
          probes: as in `similar`.

        Returns:
          The other entities, nearest first, and whether the query is known.
        """
        signature, inputs = f"neighbors_{side}", {f"{side}_id": [query_id], "k": k}
        if probes is not None:
            signature, inputs = _approximate(signature, inputs, probes)
        return self._ranking(side, self.predict(signature, inputs), side, query_id)

    def recommend(
        self, side: str, liked: Sequence[bytes], k: int, exclude: Sequence[bytes] = ()
    ) -> tuple[list[Neighbor], bool]:
        """Finds the entities of one side that score highest with an entity that the model has never seen.

        Args:
          side: the side to search, `left` or `right`.
          liked: ids of this side in pairs with the unseen entity. They are not among the answers.
          k: the maximum number of entities to return.
          exclude: more ids to leave out.

        Returns:
          The entities, best first, and whether the model knows any of the liked ones.
        """
        inputs = {"given_id": [list(liked)], "given_score": [], "k": k + len(exclude)}
        answer = self.predict(f"recommend_{side}", inputs)
        ranking, known = self._ranking(side, answer, side, b"")
        # Where fewer entities remain than were asked for, the answer is padded with the empty id.
        return [one for one in ranking if one.id and one.id not in set(exclude)][:k], known

    def known(self, side: str, ids: Sequence[bytes]) -> list[bool]:
        """Returns which ids are in the vocabulary of a side."""
        return [bool(known) for known in self.predict(f"embed_{side}", {f"{side}_id": list(ids)})["known"]]

    def knows(self, side: str, id_: bytes) -> bool:
        """Returns whether an id is in the vocabulary of a side."""
        return self.known(side, [id_])[0]

    def _ranking(
        self, side: str, answer: dict[str, list[Any]], queried: str, query_id: bytes
    ) -> tuple[list[Neighbor], bool]:
        pairs = zip(answer[f"{side}_id"][0], answer["score"][0], strict=True)
        # Models of earlier versions do not return `known`.
        known = answer["known"][0] if "known" in answer else self.knows(queried, query_id)
        return [Neighbor(name, score) for name, score in pairs], bool(known)


def _approximate(signature: str, inputs: dict[str, Any], probes: int) -> tuple[str, dict[str, Any]]:
    """Returns the name and the inputs of the approximate form of a ranking."""
    return f"{signature}_approximate", inputs | {"probes": probes}
