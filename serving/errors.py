"""What serving raises when the user is at fault.

ServingError
├── ModelNotFound    there is no published model where one was named
└── EndpointError    an endpoint does not answer, or not as a published model does
"""

from __future__ import annotations


class ServingError(Exception):
    """Something that the user can mend; its message says how, and is shown as it stands."""

    exit_code = 2


class ModelNotFound(ServingError):
    """There is no published model where one was named."""


class EndpointError(ServingError):
    """An endpoint does not answer, or not as a published model does."""
