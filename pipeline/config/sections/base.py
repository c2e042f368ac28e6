"""What sections are made of: their base, and the types of their values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

PositiveInt = Annotated[StrictInt, Field(gt=0)]
NonNegativeInt = Annotated[StrictInt, Field(ge=0)]
Text = Annotated[StrictStr, Field(min_length=1)]


def _number(value: Any) -> Any:
    """Refuses what pydantic would take for a number although nobody meant one."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]


class Section(BaseModel):
    """Frozen; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
