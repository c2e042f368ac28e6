"""The folder in an object store that a process shares with workers of Beam on other machines, during one execution.

Artifacts are local directories. Workers that cannot open them write to this folder, and the process downloads what they
wrote. The options of Beam name the folder, because a profile decides where workers are.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator

from errors import StoreError, StoreUnavailable
from storage import by_url, urls

OPTION = "--kindred_engine_folder"
"""The option of Beam with the URL below which folders are made."""


@contextlib.contextmanager
def opened(beam_pipeline_args: list[str] | None) -> Iterator[str | None]:
    """Yields the URL of a new folder, or None if workers share the directories of this process.

    Deletes the folder at the end. If this process is killed, the folder stays.
    """
    given = [argument.partition("=")[2] for argument in beam_pipeline_args or [] if argument.startswith(f"{OPTION}=")]
    if not given:
        yield None
        return
    url = urls.join(given[-1], uuid.uuid4().hex)
    try:
        yield url
    finally:
        try:
            by_url.delete_folder(url)
        except (StoreError, StoreUnavailable) as error:
            # The result does not depend on it.
            logging.warning("Temporary objects were not deleted: %s", error)
