"""The key and the certificates with which a home signs copies of its sounds.

They are neither an artifact nor published. The key is a file that only its owner can read.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home, sync_folder

FOLDER = "credentials"
CHAIN, KEY = "certificates.pem", "key.pem"
_OWNER_ONLY = 0o600


def ensure_credentials(home: Home, make: Callable[[], tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """The certificates and the key of a home. They are made at first use.

    Both are written into a folder aside, which is then renamed: there are both, or neither.

    Args:
        home: whose they are.
        make: makes new certificates and their key, as PEM.

    Raises:
        StorageError: one of the two files is missing.
    """
    folder = home.root / FOLDER
    if not folder.exists():
        _write(folder, *make())
    try:
        return (folder / CHAIN).read_bytes(), (folder / KEY).read_bytes()
    except FileNotFoundError as error:
        raise StorageError(
            f"the home's own key or its certificates are missing: {Path(error.filename).name}",
            where=folder,
            remedy="restore the file, or move the folder away: the next export makes new ones, and "
            "copies that were signed before are no longer recognised",
        ) from None


def read_certificates(home: Home) -> bytes | None:
    """The certificates of a home; None if it has not made any."""
    path = home.root / FOLDER / CHAIN
    return path.read_bytes() if path.is_file() else None


def _write(folder: Path, chain: bytes, key: bytes) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f".{FOLDER}.", suffix=".aside", dir=folder.parent))
    try:
        for name, data in ((CHAIN, chain), (KEY, key)):
            descriptor = os.open(aside / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster: its files are used
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(folder.parent)
