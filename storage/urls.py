"""The URLs of objects: scheme, bucket and key."""

from __future__ import annotations

import dataclasses

_PROVIDERS = {"s3": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
SCHEMES_IN_WORDS = "s3://, gs://, az:// or abfs://"


@dataclasses.dataclass(frozen=True)
class Location:
    """An object, or the common beginning of the keys of several.

    Attributes:
      provider: `s3`, `gs` or `az`.
      bucket: name of the bucket. Azure calls it a container.
      key: key without a slash at its ends. Empty for the bucket itself.
      account: name of the storage account in a URL of Azure, or empty.
    """

    provider: str
    bucket: str
    key: str
    account: str = ""

    @property
    def folder(self) -> str:
        """The provider and the bucket as a path that is unique to them, such as `s3/bucket`."""
        return f"{self.provider}/{self.bucket}{self.account and '@'}{self.account}"

    @property
    def path(self) -> str:
        """Bucket and key, as PyArrow writes paths."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket


def is_object(path: str) -> bool:
    """Returns whether `path` is the URL of an object store that this program reads and writes."""
    return path.partition("://")[0] in _PROVIDERS and "://" in path


def parse(url: str) -> Location:
    """Returns the parts of a URL.

    Args:
      url: `SCHEME://BUCKET/KEY`, or `abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY`.

    Raises:
      ValueError: the URL has no bucket, or a key with an empty part, `.` or `..`, which no local copy can have.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    container, _, host = bucket.partition("@")
    if not container or any(character in container for character in "*?[{"):
        raise ValueError(f"must have the form {scheme}://BUCKET/KEY, with the whole name of the bucket (got {url!r})")
    key = key.strip("/")
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        raise ValueError(f"must have no empty part, . or .. in the key (got {url!r})")
    return Location(_PROVIDERS[scheme], container, key, host.partition(".")[0])


def bucket_of(url: str) -> str:
    """Returns the URL of the whole bucket."""
    return "/".join(url.split("/")[:3])


def join(url: str, *names: str) -> str:
    """Returns the URL of a name below `url`."""
    return "/".join([url.rstrip("/"), *names])
