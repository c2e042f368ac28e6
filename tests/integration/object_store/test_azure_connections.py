"""Faults of connections to Azure, which would end this process if PyArrow met them here."""

from __future__ import annotations

import pytest

from errors import StoreError
from storage.isolated import Child
from storage.settings import StorageSettings
from storage.store import Store
from tests.object_store import free_port


def test_unreachable_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "planted")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    endpoint = f"http://127.0.0.1:{free_port()}"
    store = Store("az://films/models", StorageSettings(endpoint=endpoint))
    with pytest.raises(StoreError, match=f"az://films/models/a: {endpoint} cannot be reached. Check storage.endpoint"):
        store.read("a")


def test_child_that_ended_is_a_lost_connection() -> None:
    child = Child("planted", {"account_key": "a2V5"})
    child._process.kill()
    with pytest.raises(OSError, match="NETWORK_CONNECTION: exit code -9"):
        child.call("delete_file", "films/a")
    child.end()


def test_child_ends_with_its_parent() -> None:
    child = Child("planted", {"account_key": "a2V5"})
    child._connection.close()
    assert child._process.wait(60) == 0
