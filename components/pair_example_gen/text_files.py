"""How text files of pairs and of features are written, and how a column is named."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

import pydantic
from pydantic import AfterValidator, Field, StrictBool, StrictStr

from sections import NonNegativeInt, Section, Text

Column = StrictStr | NonNegativeInt
Quoting = Literal["auto", "double", "none"]


def _delimiter(text: str) -> str:
    if set(text) & set('\r\n"'):
        raise ValueError("must not contain a quotation mark or a line end")
    return text


def _encoding(name: str) -> str:
    if name == "auto":
        return name
    try:
        codecs.getincrementaldecoder(name)
        found = codecs.lookup(name)
    except LookupError:
        raise ValueError("is not an encoding of Python. Use utf-8, cp1252, latin-1, utf-16, or auto") from None
    return "utf-8" if found.name in ("utf-8", "utf-8-sig", "ascii") else name


class TextFiles(Section):
    """How text files are written. `auto` recognizes it in each file.

    `quoting` allows quoted fields. `auto` allows them except with tabs and blanks, because a quotation mark can be part
    of a word there, unless quotation marks wrap all fields of a column. `null_words` are ids that stand for a missing
    value, in all formats.
    """

    quoting: Quoting = "auto"
    delimiter: Annotated[StrictStr, Field(min_length=1, max_length=10), AfterValidator(_delimiter)] = "auto"
    encoding: Annotated[Text, AfterValidator(_encoding)] = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    comment: Text | None = None
    header: Literal["auto"] | StrictBool = "auto"
    null_words: tuple[Text, ...] = ()

    @pydantic.model_validator(mode="after")
    def _quoting_of_the_delimiter(self) -> TextFiles:
        if (
            self.quoting == "double"
            and self.delimiter not in ("auto", "tab")
            and (len(self.delimiter.encode()) > 1 or self.delimiter == "whitespace")
        ):
            raise ValueError(f"quoting: double needs a delimiter of one byte, but it is {self.delimiter!r}")
        return self
