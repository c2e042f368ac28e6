"""Withdraws and restores versions as `kindred rollback` does."""

from __future__ import annotations

from components.pusher.versions import Versions


def withdraw(versions: Versions) -> tuple[int, int]:
    """Returns the withdrawn version and the served one."""
    version, served = versions.withdrawal()
    versions.withdraw(version)
    return version, served


def restore(versions: Versions) -> tuple[int, int | None]:
    """Returns the restored version and the one that was served before."""
    version, served = versions.restoration()
    versions.restore(version)
    return version, served
