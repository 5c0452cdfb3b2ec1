"""Copies of a generated sound in another format, with its file metadata, and the way back.

The stored sound is a FLAC file with Vorbis comments. A copy carries the same fields: in FLAC as
they are, in wav and mp3 as ID3 frames. The same sound gives the same bytes.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from melgraph.ml.errors import UserError
from melgraph.ml.generation.mp3 import encode_mp3, mp3_rate

FORMATS = ("flac", "wav", "mp3")
LOSSLESS = ("flac", "wav")
MP3_KBIT_S = 320
_MOST_MP3_CHANNELS = 2
_ID3_HEADER = 10  # bytes
_OWN_FRAME = "TXXX"  # ID3: text with a name of its own
_FRAMES = {"title": "TIT2", "artist": "TPE1", "comment": "COMM"}


def encode_copy(sound: bytes, file_format: str, tags: Mapping[str, str], *, where: str) -> bytes:
    """A copy of a sound.

    Args:
        sound: the FLAC file.
        file_format: `flac`, `wav` or `mp3`. A wav file has the same samples, an mp3 file
            320 kbit/s, or the most that its sample rate allows.
        tags: the file metadata of the copy.
        where: names the sound in messages.

    Raises:
        UserError: mp3 cannot hold the channels of the sound.
    """
    if file_format == "flac":
        return _tagged_flac(sound, tags)
    audio = _wav(sound) if file_format == "wav" else _mp3(sound, where)
    return _tagged_by_id3(audio, file_format, tags)


def read_tags(file: bytes) -> dict[str, str]:
    """The file metadata of a sound or of a copy, by the names of its Vorbis comments.

    Unreadable metadata counts as none.
    """
    known = _opened(file)
    tags = None if known is None else known.tags
    if not tags:
        return {}
    if hasattr(tags, "getall"):
        return _id3_texts(tags)
    return {key.lower(): str(value) for key, value in tags}


def format_of(file: bytes) -> str | None:
    """The format of a file by its bytes; None if it is none of `FORMATS`."""
    known = _opened(file)
    return {"FLAC": "flac", "WAVE": "wav", "MP3": "mp3"}.get(type(known).__name__)


def has_same_samples(copy: bytes, sound: bytes) -> bool:
    """Whether a lossless copy has the samples of a sound. An unreadable file has not."""
    import soundfile

    try:
        copied, copied_rate = soundfile.read(BytesIO(copy), dtype="int32", always_2d=True)
        samples, rate = soundfile.read(BytesIO(sound), dtype="int32", always_2d=True)
    except soundfile.SoundFileError:
        return False
    return bool(copied_rate == rate and np.array_equal(copied, samples))


def _opened(file: bytes) -> Any:
    """The file as mutagen opens it; None if it cannot be read.

    A signed FLAC file starts with an ID3 tag, which holds the manifest. mutagen would take it for
    mp3.
    """
    from mutagen import flac, mp3, wave

    audio = file[_id3_size(file) :]
    kind: Any = mp3.MP3
    if audio.startswith(b"fLaC"):
        kind = flac.FLAC
    elif audio.startswith(b"RIFF"):
        kind = wave.WAVE
    try:
        return kind(BytesIO(file))
    except Exception:  # malformed files raise more than the documented MutagenError
        return None


def _id3_size(file: bytes) -> int:
    """Length of the ID3 tag at the start of a file, bytes; 0 if there is none."""
    if not file.startswith(b"ID3") or len(file) < _ID3_HEADER:
        return 0
    size = 0
    for seven_bits in file[6:_ID3_HEADER]:
        size = size << 7 | seven_bits & 0x7F
    return size + _ID3_HEADER


def _tagged_flac(sound: bytes, tags: Mapping[str, str]) -> bytes:
    """The sound itself, if it has these tags already."""
    from mutagen import flac

    if read_tags(sound) == dict(tags):
        return sound
    memory = BytesIO(sound)
    open_flac: Any = flac.FLAC  # it has no annotations
    file = open_flac(memory)
    file.tags.clear()
    for key, value in tags.items():
        file[key] = value
    memory.seek(0)
    file.save(memory)
    return memory.getvalue()


def _wav(sound: bytes) -> bytes:
    import soundfile

    with soundfile.SoundFile(BytesIO(sound)) as file:
        samples, rate, subtype = file.read(dtype="int32"), file.samplerate, file.subtype
    memory = BytesIO()
    soundfile.write(memory, samples, rate, subtype=subtype, format="WAV")
    return memory.getvalue()


def _mp3(sound: bytes, where: str) -> bytes:
    import soundfile

    from melgraph.ml.audio import resample

    samples, rate = soundfile.read(BytesIO(sound), dtype="float32", always_2d=True)
    if samples.shape[1] > _MOST_MP3_CHANNELS:
        raise UserError(
            f"the sound has {samples.shape[1]} channels, and mp3 holds two",
            where=where,
            remedy="export it as --format flac or wav",
        )
    new_rate = mp3_rate(rate)
    if new_rate != rate:
        channels = [resample(one, rate, new_rate) for one in np.ascontiguousarray(samples.T)]
        samples = np.stack(channels, axis=1)
    return encode_mp3(samples, new_rate, MP3_KBIT_S)


def _tagged_by_id3(audio: bytes, file_format: str, tags: Mapping[str, str]) -> bytes:
    from mutagen import id3, mp3, wave

    memory = BytesIO(audio)
    open_file: Any = wave.WAVE if file_format == "wav" else mp3.MP3  # without annotations
    file = open_file(memory)
    if file.tags is None:
        file.add_tags()
    file.tags.clear()
    for key, value in tags.items():
        file.tags.add(_frame(id3, key, value))
    memory.seek(0)
    file.save(memory)
    return memory.getvalue()


def _frame(id3: Any, key: str, value: str) -> Any:
    utf8 = 3
    name = _FRAMES.get(key)
    if name == "COMM":
        return id3.COMM(encoding=utf8, lang="eng", desc="", text=[value])
    if name is not None:
        return getattr(id3, name)(encoding=utf8, text=[value])
    return id3.TXXX(encoding=utf8, desc=key, text=[value])


def _id3_texts(tags: Any) -> dict[str, str]:
    texts = {frame.desc: str(frame.text[0]) for frame in tags.getall(_OWN_FRAME) if frame.text}
    for key, name in _FRAMES.items():
        if (frames := tags.getall(name)) and frames[0].text:
            texts[key] = str(frames[0].text[0])
    return texts
