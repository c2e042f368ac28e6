"""Certificates of an authority of one's own (`storage.ca_file`), for PyArrow's clients.

PyArrow 18 has no option for them. All clients find them by `SSL_CERT_FILE`: that of S3 once, when `pyarrow.fs` is
imported, which TFX and readers of Parquet do, and those of Google and Azure whenever they connect.
"""

from __future__ import annotations

import os
import ssl
import sys

from errors import StoreError

VARIABLE = "SSL_CERT_FILE"
_trusted: set[str | None] = {None, os.environ.get(VARIABLE)}  # what PyArrow reads, or has read


def trust(file: str | None) -> None:
    """Makes the client of S3 trust the authorities of a file, besides the directory of certificates of the machine.

    Other programs and libraries of this process do not read the file. Has no effect if PyArrow is imported already.

    Args:
      file: the certificates (PEM). None changes nothing.

    Raises:
      StoreError: the file has no certificates.
    """
    if file in _trusted:
        return
    _check(str(file))
    if "pyarrow._fs" in sys.modules:
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(file)
    try:
        import pyarrow.fs  # noqa: F401
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
    _trusted.clear()
    _trusted.update({None, file})


def trust_for(provider: str, file: str | None) -> None:
    """Makes the client of a provider trust the authorities of a file, before it connects.

    For Google and Azure, this whole process does, and what it starts.

    Raises:
      StoreError: the file has no certificates. Or the provider is S3, and PyArrow was imported before `trust`.
    """
    trust(file)
    if file is None:
        return
    if provider != "s3":
        os.environ[VARIABLE] = file
    elif file not in _trusted:
        raise StoreError(
            f"storage.ca_file {file}: this process has imported PyArrow already, which reads certificates only then. "
            f"Set the variable {VARIABLE} to the file before the process starts"
        )


def _check(file: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise StoreError(f"storage.ca_file {file}: has no certificates. Set it to a file in the format PEM") from None
    except OSError as error:
        raise StoreError(f"storage.ca_file {file}: cannot be read ({error.strerror}). Correct the path") from None
