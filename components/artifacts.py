"""Kindred's artifact types."""

from __future__ import annotations

from tfx.types import artifact


class Quarantine(artifact.Artifact):
    """Bad rows of the input: Parquet files with the schema `pair_example_gen.rows.QUARANTINE`."""

    TYPE_NAME = "Quarantine"


class GateDecision(artifact.Artifact):
    """The checks of the data gate, as JSON."""

    TYPE_NAME = "GateDecision"


class CardDocument(artifact.Artifact):
    """A model card: `model_card.md` describes a model for its users."""

    TYPE_NAME = "ModelCard"


class RankedLists(artifact.Artifact):
    """Lists of the best entities for all entities: `batch_lists.folder` describes its files."""

    TYPE_NAME = "RankedLists"
