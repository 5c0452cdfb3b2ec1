"""Who signs the copy of a sound, and what the signed manifest says about it."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from melgraph.assets.generation.marks.exports import ExportedSound
from melgraph.assets.generation.marks.source_types import COMPOSED_BY_A_NETWORK, SOURCE_TYPE_TAG
from melgraph.ml.credentials.certificates import (
    Credential,
    read_credential,
    self_made_credential,
)
from melgraph.ml.credentials.manifests import Ingredient, Statement
from melgraph.ml.errors import UserError
from melgraph.storage.credentials import CHAIN, FOLDER, KEY, ensure_credentials
from melgraph.storage.home import Home


def home_credential(home: Home) -> Credential:
    """The self-made credential of a home, made at first use.

    Raises:
        UserError, StorageError: it has expired, or a file of it is missing or damaged.
    """

    def make() -> tuple[bytes, bytes]:
        made = self_made_credential()
        return made.chain, made.key

    chain, key = ensure_credentials(home, make)
    folder = home.root / FOLDER
    try:
        return read_credential(
            chain, key, chain_place=str(folder / CHAIN), key_place=str(folder / KEY)
        )
    except UserError as error:
        raise UserError(
            error.what,
            where=error.where,
            remedy=f"move the folder {folder} away: the next export makes a new key and "
            "certificates, and copies that were signed before are no longer recognised",
        ) from None


def user_credential(chain: Path, key: Path) -> Credential:
    """The credential in two PEM files of the user.

    Raises:
        UserError: a file cannot be read, or they cannot sign; the message says why.
    """
    return read_credential(
        _read(chain, "--certificate"),
        _read(key, "--key"),
        chain_place=str(chain),
        key_place=str(key),
    )


def statement_of(sound: ExportedSound) -> Statement:
    """What the manifest of a sound says: how it came to be, and from which recordings.

    The recordings are not embedded: each is named by the SHA-256 of its file.
    """
    source_type = sound.tags[SOURCE_TYPE_TAG]
    recordings = [_recording(sound, one) for one in sound.recordings]
    return Statement(
        title=sound.tags.get("title", sound.file),
        version=version("melgraph"),
        source_type=source_type,
        method=sound.method,
        is_composed=source_type == COMPOSED_BY_A_NETWORK,
        ingredients=[
            Ingredient(one["path"], one["sha256"], one["role"] == "guide") for one in recordings
        ],
        provenance={
            "record": str(sound.artifact.reference),
            "file": sound.file,
            "sha256": sound.artifact.record.files[sound.file][0],
            "method": sound.method,
            "recipe": sound.artifact.facts["recipe"],
            "networks": [name for name in sound.networks.split(", ") if name],
            **({"trained_on": text} if (text := sound.tags.get("melgraph_trained_on")) else {}),
            "recordings": recordings,
        },
    )


def _recording(sound: ExportedSound, recording: Any) -> dict[str, Any]:
    guide = sound.row.get("guide", {})
    is_guide = recording.track_id == guide.get("track_id")
    part = guide if is_guide else sound.row
    return {
        "role": "guide" if is_guide else "source",
        "path": recording.path,
        "sha256": recording.sha256,
        "track_id": recording.track_id,
        "start_s": part.get("start_s", 0.0),
        "seconds": part["seconds"],
    }


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"the file of {option} cannot be read: {error.strerror}",
            where=str(path),
            remedy="check the path and the permissions",
        ) from None
