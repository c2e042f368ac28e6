"""Connects to a provider. Credentials come from the provider's own chain: variables, profile, role of the machine."""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from errors import StoreError
from storage.settings import StorageSettings
from storage.trust import VARIABLE, trust_for
from storage.urls import Location

if TYPE_CHECKING:
    from storage.isolated import IsolatedAzure

_SECONDS = datetime.timedelta(seconds=15)
_ATTEMPTS = 3  # of the client for each request. `faults` repeats whole transfers
# In the order of precedence. Each is a variable that the provider's own tools read.
_ENDPOINTS = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"), "gs": ("STORAGE_EMULATOR_HOST",), "az": ()}
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of the machine",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or a service account of the machine",
    "az": "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or an identity of the machine",
}


def endpoint_of(provider: str, settings: StorageSettings) -> str | None:
    """Returns the URL of a store that is not at the provider, or None."""
    found = settings.endpoint or next(filter(None, map(os.environ.get, _ENDPOINTS[provider])), None)
    if found is None and provider == "az":
        found = _connection_string().get("BlobEndpoint")
    return found if found is None or "://" in found else f"http://{found}"


def connect(location: Location, settings: StorageSettings) -> pa.fs.FileSystem:
    """Returns the file system of PyArrow for a location. Sends no request, except to find the region of a bucket.

    That of Azure is in child processes (`storage/isolated.py`).

    Raises:
      StoreError: a needed variable is missing, or `ca_file` cannot be used.
    """
    trust_for(location.provider, settings.ca_file)
    return _PROVIDERS[location.provider](location, settings, endpoint_of(location.provider, settings))


def _s3(location: Location, settings: StorageSettings, endpoint: str | None) -> pa.fs.FileSystem:
    from pyarrow import fs

    region = settings.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options: dict[str, Any] = {"region": region}
    if endpoint is not None:
        scheme, address = _parts(endpoint)
        options = {"region": region or "us-east-1", "scheme": scheme, "endpoint_override": address}
    elif region is None:
        options["region"] = _region_of(location.bucket)
    return fs.S3FileSystem(
        anonymous=settings.anonymous,
        connect_timeout=5,
        request_timeout=30,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        **options,
    )


def _region_of(bucket: str) -> str:
    from pyarrow import fs

    try:
        return str(fs.resolve_s3_region(bucket))
    except OSError:
        return "us-east-1"  # the request itself reports what is wrong


def _gs(location: Location, settings: StorageSettings, endpoint: str | None) -> pa.fs.FileSystem:
    from pyarrow import fs

    options: dict[str, Any] = {}
    if endpoint is not None:
        options["scheme"], options["endpoint_override"] = _parts(endpoint)
    # An emulator has no credentials. Without this, the client would look for a machine of Google.
    emulated = "STORAGE_EMULATOR_HOST" in os.environ and settings.endpoint is None
    return fs.GcsFileSystem(anonymous=settings.anonymous or emulated, retry_time_limit=_SECONDS, **options)


def _az(location: Location, settings: StorageSettings, endpoint: str | None) -> IsolatedAzure:
    given = _connection_string()
    account = location.account or given.get("AccountName") or os.environ.get("AZURE_STORAGE_ACCOUNT")
    if not account:
        raise StoreError(
            f"az://{location.bucket}: the storage account is unknown. Set AZURE_STORAGE_ACCOUNT, or write "
            f"abfs://{location.bucket}@ACCOUNT.dfs.core.windows.net/..."
        )
    options: dict[str, Any] = {}
    if endpoint is not None:
        scheme, address = _parts(endpoint)
        options = {f"{kind}_storage_{part}": value for kind in ("blob", "dfs") for part, value in
                   (("scheme", scheme), ("authority", address.split("/")[0]))}  # fmt: skip
    key = given.get("AccountKey") or os.environ.get("AZURE_STORAGE_KEY")
    arguments = tuple(sorted({**options, "account_key": key}.items()))
    return _azure(account, os.environ.get(VARIABLE), os.getpid(), arguments)


@functools.cache
def _azure(account: str, certificates: str | None, process: int, options: tuple[tuple[str, Any], ...]) -> IsolatedAzure:
    """Returns the one file system of an account, whose children all stores share."""
    from storage.isolated import IsolatedAzure

    return IsolatedAzure(account, dict(options))


def _connection_string() -> dict[str, str]:
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    return {name: value for name, equals, value in (part.partition("=") for part in text.split(";")) if equals}


def _parts(endpoint: str) -> tuple[str, str]:
    """Returns the scheme and the address of a URL."""
    parts = urlsplit(endpoint)
    return parts.scheme, parts.netloc + parts.path.rstrip("/")


_PROVIDERS: dict[str, Callable[[Location, StorageSettings, str | None], pa.fs.FileSystem]] = {
    "s3": _s3,
    "gs": _gs,
    "az": _az,
}
