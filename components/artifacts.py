"""Artifact types of our own."""

from __future__ import annotations

from tfx.types import artifact


class Quarantine(artifact.Artifact):
    """Rows that ingest set aside: Parquet files after `pair_example_gen.rows.QUARANTINE`."""

    TYPE_NAME = "Quarantine"


class GateDecision(artifact.Artifact):
    """What the data gate checked, as JSON."""

    TYPE_NAME = "GateDecision"


class ModelCard(artifact.Artifact):
    """What a model is, for those who are to use it: `model_card.md`."""

    TYPE_NAME = "ModelCard"
