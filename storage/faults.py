"""Repeats requests that may succeed, and turns errors of a store into sentences without credentials."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from errors import KindredError, StoreError, StoreUnavailable
from storage.connect import CREDENTIALS, endpoint_of
from storage.settings import StorageSettings
from storage.trust import VARIABLE
from storage.urls import parse

T = TypeVar("T")

ERRORS = (OSError, pa.ArrowException)
_ATTEMPTS = 3
_FIRST_PAUSE = 0.25  # seconds, doubled after each attempt

_UNREACHABLE = re.compile(
    r"curlCode: [67]\b|couldn.t (connect|resolve)|could not (connect|resolve)|connection refused", re.IGNORECASE
)
_BUSY = re.compile(
    r"NETWORK_CONNECTION|curlCode|CURLE code|CURL error|"
    r"SLOW_DOWN|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT|THROTTLING|"
    r"HTTP status 5\d\d|status_code=5\d\d|\b(UNAVAILABLE|INTERNAL|DEADLINE_EXCEEDED)\b|\b50[0234]\b|timed? ?out|"
    r"Connection reset|retry policy exhausted|incomplete",
    re.IGNORECASE,
)  # fmt: skip
_UNTRUSTED = re.compile(
    r"curlCode: (60|77)\b|CURL error \[77\]|certificate verify failed|SSL certificate problem|SSL peer certificate",
    re.IGNORECASE,
)
_EXPIRED = re.compile(r"Expired|EXPIRED_TOKEN", re.IGNORECASE)
# The client of S3 does not say why it cannot read an object.
_UNEXPLAINED = re.compile(r"HTTP status 400\) during GetObject")
_REFUSED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN_ID|HTTP status 40[13]|"
    r"\b40[13]\b|PERMISSION_DENIED|UNAUTHENTICATED|AuthenticationFailed|AuthorizationFailure|credential|InvalidToken",
    re.IGNORECASE,
)
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_REGION = re.compile(
    r"HTTP status 301|PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint", re.IGNORECASE
)
_FOREIGN = re.compile(r"XML_ERROR|HTTP status -1|parse error|not valid JSON", re.IGNORECASE)
# Their values must never be printed, even if a store repeats them.
_SECRETS = re.compile(r"SECRET|TOKEN|PASSWORD|_KEY|ACCESS_KEY_ID|CONNECTION_STRING|CREDENTIALS", re.IGNORECASE)


def attempt(url: str, settings: StorageSettings, work: Callable[[], T]) -> T:
    """Returns the result of `work`, which is repeated if the store or the network fails for a moment.

    Args:
      url: the object that `work` is about.
      settings: how the store is reached.
      work: sends requests. It can run several times.

    Raises:
      FileNotFoundError: there is no such object.
      StoreError: the store refuses, or cannot be reached.
      StoreUnavailable: the store failed each time.
    """
    for number in range(1, _ATTEMPTS + 1):
        try:
            return work()
        except FileNotFoundError:
            raise
        except ERRORS as error:
            if getattr(error, "errno", None):
                raise  # of a local file, because errors of stores have no number
            text = str(error)
            if number == _ATTEMPTS or not _BUSY.search(text) or _UNREACHABLE.search(text) or _UNTRUSTED.search(text):
                raise _described(url, settings, text, number) from None
        time.sleep(_FIRST_PAUSE * 2 ** (number - 1) * random.uniform(0.5, 1.5))
    raise AssertionError("unreachable")


def refuse_missing_bucket(url: str, settings: StorageSettings, error: Exception) -> None:
    """Raises a StoreError if `error`, which listing a whole bucket raised, means that there is no such bucket."""
    if isinstance(error, FileNotFoundError) or _NO_BUCKET.search(str(error)):
        raise _described(url, settings, "NO_SUCH_BUCKET", 1) from None


def _described(url: str, settings: StorageSettings, text: str, attempts: int) -> KindredError:
    """Returns the error for what a store answered: the URL, the problem and the next step."""
    place = parse(url)
    endpoint = endpoint_of(place.provider, settings) or "the store of the provider"
    if _UNREACHABLE.search(text):
        return StoreError(
            f"{url}: {endpoint} cannot be reached. Check storage.endpoint, the variable of the provider and the network"
        )
    if _UNTRUSTED.search(text):
        return StoreError(
            f"{url}: the certificate of {endpoint} is not trusted. Set storage.ca_file, or the variable "
            f"{VARIABLE}, to the certificates of its authority (PEM)"
        )
    if _NO_BUCKET.search(text):
        return StoreError(f"{url}: there is no bucket {place.bucket} at {endpoint}. Correct the URL, or create it")
    if _EXPIRED.search(text):
        return StoreError(f"{url}: the credentials have expired. Renew them ({CREDENTIALS[place.provider]})")
    if _UNEXPLAINED.search(text):
        return StoreError(
            f"{url}: the store refuses to read it, most often because the credentials have expired. Renew them "
            f"({CREDENTIALS[place.provider]})"
        )
    if _REGION.search(text):
        return StoreError(f"{url}: the bucket is in another region. Set storage.region, or AWS_REGION")
    if _REFUSED.search(text):
        return StoreError(
            f"{url}: the store refuses access. Set credentials that may list, read and write there "
            f"({CREDENTIALS[place.provider]}), or storage.anonymous to true for a public bucket"
        )
    if _FOREIGN.search(text):
        return StoreError(f"{url}: {endpoint} does not answer like an object store. Check storage.endpoint")
    reason = _without_secrets((text.strip().splitlines() or ["no reason given"])[0])
    if _BUSY.search(text):
        return StoreUnavailable(
            f"{url}: {endpoint} failed {attempts} times ({reason}). Nothing is lost. Run the same command again later"
        )
    return StoreError(f"{url}: {endpoint} refuses a request: {reason}")


def _without_secrets(text: str) -> str:
    for name, value in os.environ.items():
        if len(value) > 3 and _SECRETS.search(name):
            text = text.replace(value, "***")
    return text
