"""Section `encode`: how ids become rows of an embedding table."""

from __future__ import annotations

import pydantic
from pydantic import StrictBool

from pipeline.config.sections.base import PositiveInt, Section


class Encode(Section):
    """How ids become rows of an embedding table."""

    min_count: PositiveInt = 1
    max_vocabulary: PositiveInt | None = None
    oov_buckets: PositiveInt = 1
    oov_hashes: PositiveInt = 1
    shared: StrictBool = False

    @pydantic.model_validator(mode="after")
    def _hashes_that_differ(self) -> Encode:
        if self.oov_hashes > self.oov_buckets:
            raise ValueError(
                f"oov_hashes: at most oov_buckets, the rows they choose from (got {self.oov_hashes} with "
                f"{self.oov_buckets}); raise oov_buckets, best to about the number of ids out of the vocabulary"
            )
        return self
