"""Section `storage`: how object stores are reached. Credentials come from the environment, never from a file."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool, StrictStr

from sections import Section, Text
from storage import urls

Endpoint = Annotated[StrictStr, Field(pattern=r"^https?://[^/@\s]+/?$")]


SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
)
"""Variables of the providers that are secrets."""


def _known(path: str) -> str:
    if "://" in path and not urls.is_object(path):
        raise ValueError(
            f"must be a path on this machine, or a URL that begins with {urls.SCHEMES_IN_WORDS}. Download the files, "
            "or mount the store as a folder"
        )
    if urls.is_object(path):
        urls.parse(path)
    return path


DataPath = Annotated[Text, AfterValidator(_known)]
"""A local path, or the URL of objects."""


class StorageSettings(Section):
    """Section `storage`. Without a key, the variables of the provider decide, such as `AWS_ENDPOINT_URL`.

    Attributes:
      endpoint: address of a store that is not at the provider, such as `http://minio:9000`.
      region: region of the bucket, for S3.
      anonymous: whether requests carry no credentials, for public buckets.
      ca_file: certificates (PEM) of the authority of an endpoint.
    """

    endpoint: Endpoint | None = None
    region: Text | None = None
    anonymous: StrictBool = False
    ca_file: Text | None = None
