"""Query files: the samples that are used are those that the representations are computed from."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from melgraph.ml.audio import BadAudio
from melgraph.ml.inference.query_files import MOST_RATE, QueryFile, write_query_sound
from melgraph.ml.representations.analysis import log_mel_of
from melgraph.ml.spectral import MelTransform


def song(path: Path, seconds: float, rate: int = 22_050, channels: int = 2) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate, subtype="PCM_16")
    return path


@pytest.mark.parametrize(("rate", "channels"), [(22_050, 2), (44_100, 1), (48_000, 6)])
def test_the_spectrogram_is_that_of_the_file(tmp_path, rate, channels):
    source = song(tmp_path / "song.flac", 3.0, rate, channels)
    target = tmp_path / "query.wav"
    sound = write_query_sound(QueryFile(source, target, most_s=60.0))
    assert (sound.used_s, sound.length_s, sound.warning) == (3.0, 3.0, None)
    transform = MelTransform()
    assert np.array_equal(log_mel_of(target, transform), log_mel_of(source, transform))


def test_only_the_first_seconds_are_used(tmp_path):
    source = song(tmp_path / "song.flac", 5.0)
    sound = write_query_sound(QueryFile(source, tmp_path / "query.wav", most_s=2.0))
    assert (sound.used_s, sound.length_s) == (2.0, 5.0)
    assert soundfile.info(tmp_path / "query.wav").duration == 2.0


def test_a_high_sample_rate_does_not_make_a_large_file(tmp_path):
    source = song(tmp_path / "song.flac", 1.0, rate=192_000)
    sound = write_query_sound(QueryFile(source, tmp_path / "query.wav", most_s=60.0))
    written = soundfile.info(tmp_path / "query.wav")
    assert sound.used_s == 1.0
    assert (written.samplerate, written.frames) == (MOST_RATE, MOST_RATE)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty"), (b"no sound at all " * 99, "undecodable")]
)
def test_a_file_that_is_not_audio(tmp_path, content, code):
    source = tmp_path / "song.mp3"
    source.write_bytes(content)
    with pytest.raises(BadAudio) as refused:
        write_query_sound(QueryFile(source, tmp_path / "query.wav", most_s=60.0))
    assert refused.value.code == code


@pytest.mark.parametrize(("seconds", "level", "code"), [(0.2, 0.1, "too-short"), (2, 0, "silent")])
def test_a_file_without_enough_sound(tmp_path, seconds, level, code):
    samples = level * np.sin(np.arange(round(22_050 * seconds)))
    soundfile.write(tmp_path / "song.wav", samples, 22_050)
    with pytest.raises(BadAudio) as refused:
        write_query_sound(QueryFile(tmp_path / "song.wav", tmp_path / "query.wav", most_s=60.0))
    assert refused.value.code == code
