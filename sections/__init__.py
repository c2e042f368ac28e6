"""The base of all settings: a section of a pipeline file, and the types of its values.

Each section has one model, in the package that uses it, with its keys, types, rules and defaults. `pipeline.config`
composes the pipeline file of them. Between processes a section travels as its JSON.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr
from typing_extensions import Self

PositiveInt = Annotated[StrictInt, Field(gt=0)]
NonNegativeInt = Annotated[StrictInt, Field(ge=0)]
Text = Annotated[StrictStr, Field(min_length=1)]


def _number(value: Any) -> Any:
    """Refuses what pydantic would convert to a number although it is not meant as one."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, le=1)]


def _local(path: str) -> str:
    """Refuses URLs, before a library waits for a network that may not exist."""
    if "://" in path:
        raise ValueError("must be a path on this machine. Download the files, or mount the store as a folder")
    return path


LocalPath = Annotated[Text, AfterValidator(_local)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and impossible values.

    Example: `TrainSettings(epochs=3).replace(seed=7).model_dump_json()`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values, which are validated.

        Raises:
          pydantic.ValidationError: a value breaks a rule.
        """
        return type(self).model_validate({**dict(self), **changes})
