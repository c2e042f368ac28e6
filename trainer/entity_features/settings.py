"""The features of a side: what each column holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, Field, StrictInt, StrictStr

from sections import NonNegativeInt, PositiveInt, Section, Text

Kind = Literal["category", "tags", "text", "number"]
_OF_WORDS = ("min_count", "max_vocabulary")


class FeatureColumn(Section):
    """A key of `data.left_features.columns`: a column of the file of features.

    Attributes:
      kind: `category` has one value, `tags` several between separators, `text` has words, `number` a number.
      column: its name or number in the file. The default is the name of the feature.
      separator: the text between two tags.
      min_count: values that fewer entities of the train split have are left out.
      max_vocabulary: the maximum number of values, or None for no maximum.
      buckets: the number of quantile buckets of a number. None takes the number itself, in standard deviations.
    """

    kind: Kind
    column: StrictStr | NonNegativeInt | None = None
    separator: Text = "|"
    min_count: PositiveInt = 1
    max_vocabulary: PositiveInt | None = None
    buckets: Annotated[StrictInt, Field(ge=2, le=1000)] | None = None

    @pydantic.model_validator(mode="after")
    def _keys_of_the_kind(self) -> FeatureColumn:
        unused = {"tags": ("buckets",), "number": ("separator", *_OF_WORDS)}.get(self.kind, ("separator", "buckets"))
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        for key in unused:
            if getattr(self, key) != defaults[key]:
                raise ValueError(f"{key} has no effect with kind: {self.kind}. Omit it")
        return self


def _spelled_out(column: Any) -> Any:
    """Returns `{kind: category}` for the short form `category`."""
    return {"kind": column} if isinstance(column, str) else column


# A name is part of the names of inputs of the published model, such as `right_genres`.
FeatureName = Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
FeatureColumns = dict[FeatureName, Annotated[FeatureColumn, BeforeValidator(_spelled_out)]]


def columns_of(tree: Any) -> FeatureColumns:
    """Reads the columns of a side from their JSON.

    Raises:
      pydantic.ValidationError: the JSON is not that of `FeatureColumns`.
    """
    return _ADAPTER.validate_python(tree)


_ADAPTER: pydantic.TypeAdapter[FeatureColumns] = pydantic.TypeAdapter(FeatureColumns)
