"""Facts about the index of a model, for people and for the record of a run."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from trainer.index.calibration import Probes

# In the `ModelRun` of the Trainer.
INDEX_FILE = "index.json"


@dataclasses.dataclass(frozen=True)
class IndexFacts:
    """The index of a model.

    Attributes:
      seconds: how long it took to make.
      blocks: number of blocks of each side.
      signatures: the default number of blocks that each approximate signature reads, and its recall on a sample.
    """

    seconds: float
    blocks: Mapping[str, int]
    signatures: Mapping[str, Probes]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `index.json`, and of `approximate` in summary.json."""
        signatures = {name: probes._asdict() for name, probes in self.signatures.items()}
        return {"seconds": self.seconds, "blocks": dict(self.blocks), "signatures": signatures}

    def write(self, directory: str) -> None:
        """Writes `index.json` into a directory, which is made if it does not exist."""
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, INDEX_FILE), "w", encoding="utf-8") as out:
            json.dump(self.to_json(), out)

    def describe(self) -> str:
        """Returns one line for people."""
        worst = min(self.signatures.values(), key=lambda probes: probes.recall)
        sides = " and ".join(f"{count:,}" for count in self.blocks.values())
        return f"index of {sides} blocks in {self.seconds:.1f} s, recall@10 {worst.recall:.3f}"


def read_index(directory: str) -> IndexFacts | None:
    """Reads `index.json`. Returns None if the model has no index."""
    path = os.path.join(directory, INDEX_FILE)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as source:
        tree = json.load(source)
    return IndexFacts(tree["seconds"], tree["blocks"], {name: Probes(**of) for name, of in tree["signatures"].items()})
