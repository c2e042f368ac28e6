"""Certificates of an authority of one's own (`storage.ca_file`), for PyArrow's client of S3.

PyArrow 18 has no option for them. It reads where certificates are from `SSL_CERT_FILE`, once, when `pyarrow.fs` is
imported. So this has to run before that import, which TFX and readers of Parquet contain.
"""

from __future__ import annotations

import os
import ssl
import sys

from errors import StoreError

VARIABLE = "SSL_CERT_FILE"
_trusted: set[str | None] = {os.environ.get(VARIABLE)}  # what PyArrow reads, or has read


def trust(file: str | None) -> None:
    """Makes the client of S3 trust the authorities of a file, besides the directory of certificates of the machine.

    Other programs and libraries of this process do not read the file.

    Args:
      file: the certificates (PEM). None changes nothing.

    Raises:
      StoreError: the file has no certificates, or PyArrow is imported already.
    """
    if file is None or file in _trusted:
        return
    _check(file)
    if "pyarrow._fs" in sys.modules:
        raise StoreError(
            f"storage.ca_file {file}: this process has imported PyArrow already, which reads certificates only then. "
            f"Set the variable {VARIABLE} to the file before the process starts"
        )
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = file
    try:
        import pyarrow.fs  # noqa: F401
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
    _trusted.clear()
    _trusted.add(file)


def _check(file: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise StoreError(f"storage.ca_file {file}: has no certificates. Set it to a file in the format PEM") from None
    except OSError as error:
        raise StoreError(f"storage.ca_file {file}: cannot be read ({error.strerror}). Correct the path") from None
