import os
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.easyid3 import EasyID3
from mutagen.id3 import TIT2, TPE1
from mutagen.wave import WAVE

from ml.audio import BadAudio, Decoded, check, decode, levels, read_tags, resample, to_mono
from tests.ml.audio_files import RATE, code_of, cut, encode, tone


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "au", "w64"])
def test_a_file_cut_in_half_is_truncated(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"tone.{suffix}"
    sf.write(path, tone(), RATE)
    assert code_of(cut(path)) == "truncated"


def test_a_cut_mp3_webm_or_streamable_mp4_is_truncated(tmp_path: Path) -> None:
    assert code_of(cut(encode(tmp_path / "a.mp3", "libmp3lame", "mp3"))) == "truncated"
    assert code_of(cut(encode(tmp_path / "a.mka", "pcm_s16le", "matroska"))) == "truncated"
    fast = encode(tmp_path / "a.m4a", "aac", "ipod", movflags="faststart")
    assert code_of(cut(fast)) == "truncated"
    plain = encode(tmp_path / "b.m4a", "aac", "ipod")  # its index was at the end
    assert code_of(cut(plain)) == "undecodable"


def test_a_few_lost_samples_are_not_a_truncation(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    sf.write(path, tone(), RATE)
    check(decode(cut(path, 0.98)))  # 0.08 s
    assert code_of(cut(path, 0.96)) == "truncated"


def test_damage_inside_a_flac_is_told_from_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    middle, width = len(content) // 2, len(content) // 8
    content[middle : middle + width] = bytes(width)
    path.write_bytes(content)
    assert code_of(path) == "damaged"


def test_what_is_no_audio_has_a_code(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp3"
    text.write_text("this is not music\n" * 400)
    assert code_of(text) == "undecodable"
    playlist = tmp_path / "list.mp3"
    sf.write(tmp_path / "other.wav", tone(), RATE)
    playlist.write_text("#EXTM3U\n#EXTINF:4,\nother.wav\n#EXT-X-ENDLIST\n")
    assert code_of(playlist) == "undecodable"  # and never opens what it points at
    video = tmp_path / "video.webm"
    with av.open(str(video), "w") as out:
        stream = out.add_stream("libvpx", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    assert code_of(video) == "no-audio"
    (tmp_path / "empty.wav").touch()
    assert code_of(tmp_path / "empty.wav") == "empty"
    sf.write(tmp_path / "header.wav", np.zeros((0, 1)), RATE)
    assert code_of(tmp_path / "header.wav") == "empty"
    assert code_of(tmp_path / "gone.wav") == "vanished"
    assert code_of(tmp_path) == "unreadable"
    os.mkfifo(tmp_path / "pipe.wav")
    assert code_of(tmp_path / "pipe.wav") == "unreadable"


def test_a_finding_survives_the_way_back_from_a_child_process() -> None:
    bad = BadAudio("silent", "the peak is -90.0 dBFS")
    assert str(bad) == "silent: the peak is -90.0 dBFS"
    assert vars(pickle.loads(pickle.dumps(bad))) == {"code": "silent", "reason": bad.reason}


def test_the_checks(tmp_path: Path) -> None:
    def verdict(samples: np.ndarray, **limits: float) -> str:
        decoded = Decoded(samples.astype(np.float32).reshape(-1, 1), RATE, "X", "X")
        try:
            check(decoded, **limits)
        except BadAudio as bad:
            return bad.code
        return "ok"

    second = np.full(RATE, 0.1)
    assert verdict(second) == "ok"
    assert verdict(second[:0]) == "empty"
    assert verdict(np.where(np.arange(RATE) == 5, np.nan, second)) == "undecodable"
    assert verdict(np.where(np.arange(RATE) == 5, -np.inf, second)) == "undecodable"
    assert verdict(-20000 * second) == "out-of-range"
    assert verdict(1.3 * np.sign(second)) == "ok"  # a lossy codec's overshoot
    assert verdict(second[: RATE // 3]) == "too-short"
    assert verdict(second[: RATE // 3], min_seconds=0.2) == "ok"
    assert verdict(0.9e-3 * second) == "silent"
    assert verdict(1.1e-3 * second) == "ok"

    sf.write(tmp_path / "nan.wav", np.where(np.arange(RATE) == 5, np.nan, second), RATE, "FLOAT")
    assert code_of(tmp_path / "nan.wav") == "undecodable"


@settings(max_examples=25, deadline=None)
@given(channels=st.integers(1, 6), samples=st.integers(1, 300), seed=st.integers(0, 999))
def test_mono_is_the_mean_of_the_channels(channels: int, samples: int, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-1, 1, (samples, channels)).astype(np.float32)
    before = x.copy()
    mono = to_mono(x)
    assert mono.dtype == np.float32
    assert mono.flags.c_contiguous
    np.testing.assert_allclose(mono, x.mean(axis=1, dtype=np.float64), atol=3e-7)
    np.testing.assert_array_equal(x, before)


def test_resampling_keeps_the_music_and_drops_what_does_not_fit() -> None:
    t = np.arange(RATE) / RATE
    kept = np.sin(2 * np.pi * 1000 * t).astype(np.float32)
    lost = np.sin(2 * np.pi * 15000 * t).astype(np.float32)
    half = resample(kept, RATE, RATE // 2)
    assert (len(half), half.dtype) == (RATE // 2, np.float32)
    np.testing.assert_allclose(half[500:-500], kept[::2][500:-500], atol=1e-4)
    assert np.abs(resample(lost, RATE, RATE // 2)[500:-500]).max() < 1e-5  # -100 dB
    assert resample(kept, RATE, RATE) is kept


def test_levels_are_in_decibels_of_full_scale() -> None:
    sine = np.sin(2 * np.pi * 441 * np.arange(RATE) / RATE).astype(np.float32)[:, None]
    assert levels(0.5 * sine) == pytest.approx((-6.0206, -9.0309), abs=1e-3)
    assert levels(np.float32([[0.1, -1.0]])) == pytest.approx((0.0, -2.967), abs=1e-3)
    assert levels(np.zeros((9, 2), np.float32)) == (-200.0, -200.0)
    assert levels(np.zeros((0, 2), np.float32)) == (-200.0, -200.0)


def test_tags_are_read_where_there_are_any(tmp_path: Path) -> None:
    nothing = {"artist": None, "title": None, "album": None, "genre": None}
    mp3 = encode(tmp_path / "a.mp3", "libmp3lame", "mp3", id3v2_version="0")
    assert read_tags(mp3) == nothing
    tags = EasyID3()
    tags["artist"], tags["genre"], tags["album"] = ["Ørsted", "Second"], "Jazz", "  "
    tags.save(mp3)
    assert read_tags(mp3) == nothing | {"artist": "Ørsted", "genre": "Jazz"}

    sf.write(tmp_path / "a.wav", tone(), RATE)
    wave = WAVE(tmp_path / "a.wav")
    wave.add_tags()
    wave.tags.add(TPE1(text=["A"]))
    wave.tags.add(TIT2(text=["B"]))
    wave.save()
    assert read_tags(tmp_path / "a.wav") == nothing | {"artist": "A", "title": "B"}

    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"ID3\x04\x00\x80\xff\xff\xff\xff" + mp3.read_bytes()[5:200])
    assert read_tags(broken) == nothing
    assert read_tags(tmp_path / "gone.mp3") == nothing


def test_real_files_that_break_readers() -> None:
    """Every file is either audio or a finding, and the findings are the right ones."""
    if "MELGRAPH_REAL_DATA" not in os.environ:
        pytest.skip("MELGRAPH_REAL_DATA (a folder with edge cases) is not set")
    root = Path(os.environ["MELGRAPH_REAL_DATA"]) / "edge_cases"
    found: dict[str, str] = {}
    for path in (path for path in sorted(root.rglob("*")) if path.is_file()):
        try:
            check(decode(path))
        except BadAudio as bad:
            found[path.relative_to(root).as_posix()] = bad.code
        assert set(read_tags(path)) == {"artist", "title", "album", "genre"}
    assert found == {
        "essentia/empty/empty.mp3": "empty",
        "essentia/metadata/empty.mp3": "too-short",
        "essentia/metadata/test-unicode.flac": "damaged",
        "essentia/metadata/test.flac": "damaged",
        "essentia/multichannel/4channels.flac": "damaged",
        "essentia/silence/silence.flac": "silent",
        "essentia/synthesised/shortfiles/1989_samples.wav": "too-short",
        "pydub/test1.raw": "undecodable",
        "pydub/test1_empty.wav": "empty",
    }
