"""The stored file of a generated sound, as it was recorded."""

from hashlib import sha256

from melgraph.storage.artifacts import Artifact
from melgraph.storage.errors import ArtifactCorrupt


def stored_sound(artifact: Artifact, file: str) -> bytes:
    """The bytes of a sound in the home.

    Raises:
        ArtifactCorrupt: the file is missing, or differs from its record. A copy of it would carry a
            wrong statement.
    """
    path = artifact.folder / file
    what = "differs from its recorded SHA-256"
    try:
        data = path.read_bytes()
        if sha256(data).hexdigest() == artifact.record.files[file][0]:
            return data
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    raise ArtifactCorrupt(
        f"the stored sound {what}",
        where=path,
        remedy=f"melgraph audit {artifact.reference} says more",
    )
