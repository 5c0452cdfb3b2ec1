"""The key of a home: made once, readable by its owner only, and never half of it."""

import os
import stat

import pytest

from melgraph.storage import credentials
from melgraph.storage.credentials import ensure_credentials, read_certificates
from melgraph.storage.errors import StorageError


def test_they_are_made_once(store):
    assert read_certificates(store.home) is None
    assert ensure_credentials(store.home, lambda: (b"chain", b"key")) == (b"chain", b"key")
    assert ensure_credentials(store.home, lambda: (b"other", b"other")) == (b"chain", b"key")
    assert read_certificates(store.home) == b"chain"


@pytest.mark.skipif(os.name != "posix", reason="modes of files are of POSIX")
def test_only_the_owner_reads_the_key(store):
    ensure_credentials(store.home, lambda: (b"chain", b"key"))
    key = store.home.root / "credentials" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupt_leaves_nothing(store, monkeypatch, error):
    before = sorted(store.home.root.iterdir())

    def fail(descriptor):
        raise error

    monkeypatch.setattr(credentials.os, "fsync", fail)
    with pytest.raises(error):
        ensure_credentials(store.home, lambda: (b"chain", b"key"))
    assert sorted(store.home.root.iterdir()) == before


def test_what_a_faster_process_has_made_is_used(store):
    def make():
        ensure_credentials(store.home, lambda: (b"first", b"first key"))
        return b"second", b"second key"

    assert ensure_credentials(store.home, make) == (b"first", b"first key")
    assert sum("credentials" in path.name for path in store.home.root.iterdir()) == 1


def test_a_missing_file_is_named(store):
    ensure_credentials(store.home, lambda: (b"chain", b"key"))
    (store.home.root / "credentials" / "key.pem").unlink()
    with pytest.raises(StorageError, match=r"key\.pem") as caught:
        ensure_credentials(store.home, lambda: (b"chain", b"key"))
    assert "move the folder away" in caught.value.remedy
