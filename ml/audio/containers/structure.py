"""Questions about a file that its container answers: is it encrypted, is all of it there?"""

from collections.abc import Callable, Mapping

from melgraph.ml.audio.containers import asf, matroska, mp4, mpeg, wavpack
from melgraph.ml.audio.containers.part import Part

_WHOLE: Mapping[str, Callable[[Part], bool]] = {
    "MOV": mp4.is_whole,
    "MATROSKA": matroska.is_whole,
    "ASF": asf.is_whole,
    "WV": wavpack.is_whole,
    "MP3": mpeg.is_whole,
}
_ENCRYPTED = (
    ("mp4", mp4.is_mp4, mp4.is_encrypted),
    ("Matroska", matroska.is_matroska, matroska.is_encrypted),
    ("WMA", asf.is_asf, asf.is_encrypted),
)


def is_whole(part: Part, container: str) -> bool:
    """Whether all bytes that the container announces are there.

    If fewer samples decode than the header states, the length in the header is then wrong. For a
    container that does not announce its bytes this is False.
    """
    check = _WHOLE.get(container)
    return check is not None and check(part)


def encrypted_kind(part: Part) -> str | None:
    """The kind of the file if its sound is encrypted; None otherwise."""
    kinds = (kind for kind, is_kind, is_encrypted in _ENCRYPTED
             if is_kind(part) and is_encrypted(part))  # fmt: skip
    return next(kinds, None)
