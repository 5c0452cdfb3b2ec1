"""The faults of real libraries: broken audio files, a copy, and files that are no audio."""

from pathlib import Path

import numpy as np
import soundfile

FAULTS = ("truncated", "silent", "undecodable")  # the codes of the broken audio files


def add_faults(folder: Path, track: Path, *, duration_s: float, sample_rate: int) -> None:
    """Adds a copy, a truncated, a silent and a mislabelled file, and files that are no audio.

    Args:
        folder: the folder of the library.
        track: the FLAC file to copy and to truncate, `STYLE/Artist/NN Title.flac` below `folder`.
        duration_s: length of the silent file, seconds.
        sample_rate: of the silent file, Hz.
    """
    whole = (folder / track).read_bytes()
    style = folder / track.parts[0]
    downloads = style / "Downloads"
    downloads.mkdir()
    (downloads / "copy of a song.flac").write_bytes(whole)
    (downloads / "broken off.flac").write_bytes(whole[: len(whole) // 2])
    silence = np.zeros((round(duration_s * sample_rate), 1), np.float32)
    soundfile.write(downloads / "silence.wav", silence, sample_rate, subtype="PCM_16")
    text = "This is a text file that somebody named .mp3.\n" * 40
    (downloads / "not music.mp3").write_text(text)
    (folder / "notes.txt").write_text("Not audio: a scan passes it over.\n")
    (style / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really a picture")
    apple_double = (folder / track).with_name(f"._{track.name}")
    apple_double.write_bytes(b"\x00\x05\x16\x07" + b"\x00" * 60)
