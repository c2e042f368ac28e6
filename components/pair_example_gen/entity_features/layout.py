"""Makes the readers of pairs read files of features, and puts their messages into the terms of the section."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pydantic

from components.pair_example_gen.feature_settings import FeatureFiles
from components.pair_example_gen.reading import chunks
from components.pair_example_gen.settings import ColumnSettings, PairFiles
from components.pair_example_gen.source import find_files, split_path
from components.pair_example_gen.text_files import Column, TextFiles
from components.pair_example_gen.values import FEATURE
from errors import InputError
from kindred import advice

# The role of the ids for the readers.
ID = "left"


class _Roles(ColumnSettings):
    """The columns of a file of features as roles: the ids, then the features."""

    right: Column = 0
    features: dict[str, Column]

    @pydantic.model_validator(mode="after")  # type: ignore[misc]
    def _one_kind_and_distinct(self) -> ColumnSettings:
        return self  # Two features may be of one column.

    @property
    def roles(self) -> dict[str, Column]:
        """The column of each role."""
        return {ID: self.left, **{role_of(name): column for name, column in self.features.items()}}


def role_of(feature: str) -> str:
    """Returns the role of a feature for the readers."""
    return FEATURE + feature


def layout_of(given: FeatureFiles) -> PairFiles:
    """Returns the settings for the readers."""
    text = {key: getattr(given, key) for key in TextFiles.model_fields}
    roles = _Roles(left=given.id, features=given.columns_by_name)
    return PairFiles.model_construct(path=given.path, format=given.format, columns=roles, **text)


def input_files(side: str, given: FeatureFiles) -> list[str]:
    """Returns the files of a side.

    Raises:
      InputError: there is none.
    """
    with in_terms_of(side):
        return find_files(*split_path(given.path)).files


def check_heads(side: str, given: FeatureFiles) -> None:
    """Checks that the files of a side exist and begin with the expected columns.

    Raises:
      InputError: there is no file, or a file is unreadable, is empty, or lacks a column.
    """
    with in_terms_of(side):
        for file in input_files(side, given):
            chunks.check_head(file, layout_of(given))


@contextlib.contextmanager
def in_terms_of(side: str) -> Iterator[None]:
    """Makes messages about section `data` name the keys of the features of `side`.

    Raises:
      InputError: the same as in the block.
    """
    try:
        yield
    except InputError as error:
        raise InputError(_renamed(str(error), f"data.{side}_features")) from None


def _renamed(message: str, section: str) -> str:
    message = re.sub(rf"data\.columns\.{ID}\b", f"{section}.id", message)
    message = re.sub(rf"data\.columns\.{FEATURE}", f"{section}.columns.", message)
    message = message.replace(f", or {advice.set_data()}", "")
    return re.sub(r"\bdata\.(?!left_features|right_features)", f"{section}.", message)


def reason_of(reason: str) -> str:
    """Returns the reason of a reader for a bad row without the name of a role."""
    return reason.removeprefix(f"{ID} ").removeprefix(FEATURE)
