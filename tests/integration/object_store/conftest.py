from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.object_store import CREDENTIALS, Bucket, FaultyProxy, s3_server

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a real S3 server."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(server: str) -> Bucket:
    """An empty bucket."""
    return Bucket(server, f"planted-{next(_NUMBERS)}")


@pytest.fixture
def proxy(server: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy before the server, through which the program under test reaches it."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    proxy = FaultyProxy(server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    yield proxy
    proxy.close()
