import os
import pickle
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import (
    BadAudio,
    Decoded,
    Levels,
    check,
    check_levels,
    decode,
    open_audio,
    read_file_metadata,
)
from tests.ml.audio_files import RATE, code_of, cut, encode, tone, wav_bytes, with_zeros_inside


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
    content = path.read_bytes()
    expected = {0.98: "None", 0.96: "the end is missing: the file promises 4.00 s, 3.84 s decode"}
    for share, warning in expected.items():  # 0.08 s, 0.16 s
        path.write_bytes(content)
        decoded = decode(cut(path, share))
        check(decoded)
        assert str(decoded.warning) == warning
    path.write_bytes(content)
    assert code_of(cut(path, 0.89)) == "truncated"


def test_damage_inside_a_flac_is_distinguished_from_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, tone(), RATE)
    assert code_of(with_zeros_inside(path, 0.5, 0.625)) == "damaged"
    mp3 = encode(tmp_path / "tone.mp3", "libmp3lame", "mp3")
    assert code_of(with_zeros_inside(mp3, 0.5, 0.625)) == "damaged"


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


def test_headers_that_lie(tmp_path: Path) -> None:
    path, second = tmp_path / "hostile.wav", bytes(16000)
    headers: dict[str, dict] = {
        "no channels": {"channels": 0},
        "no rate": {"rate": 0},
        "1 Hz": {"rate": 1},
        "1 GHz": {"rate": 10**9},
        "the largest rate": {"rate": 2**32 - 1},
        "100 channels": {"channels": 100},
        "the most channels": {"channels": 65535, "align": 2},
        "no bits": {"bits": 0},
    }
    for name, header in headers.items():
        path.write_bytes(wav_bytes(second, **header))
        assert code_of(path) == "undecodable", name
    path.write_bytes(wav_bytes(b"\x00\x40"))  # a single sample
    assert decode(path).samples.tolist() == [[0.5]]
    assert code_of(path) == "too-short"


def test_bytes_of_chance_are_audio_or_a_finding_and_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "a.wav", tone(0.6), RATE)
    sf.write(tmp_path / "a.flac", tone(0.6), RATE)
    sf.write(tmp_path / "a.ogg", tone(0.6), RATE)
    sf.write(tmp_path / "a.caf", tone(0.6), RATE)
    encode(tmp_path / "a.mp3", "libmp3lame", "mp3", samples=tone(0.6))
    encode(tmp_path / "a.m4a", "aac", "ipod", samples=tone(0.6))
    encode(tmp_path / "a.wma", "wmav2", "asf", samples=tone(0.6), bit_rate=128_000)
    encode(tmp_path / "a.webm", "libopus", "webm", rate=48000, samples=tone(0.6, 48000))
    outcomes = set()
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for _ in range(15):
            broken = bytearray(content)
            start, width = int(rng.integers(200)), int(rng.integers(1, 16))
            broken[start : start + width] = rng.bytes(width)
            path.write_bytes(broken)
            try:
                check(decode(path))
                outcomes.add("ok")
            except BadAudio as bad:
                outcomes.add(bad.code)
            assert set(read_file_metadata(path)) == {
                "artist", "artists", "title", "album", "genre", "genres", "year"
            }  # fmt: skip
    assert {"ok", "undecodable"} < outcomes
    assert "unreadable" not in outcomes  # the disk was fine


BAD_STREAM_INFO = "essentia/synthesised/impulse/flac/bad_stream_info/impulses_1second"
FIRST_OF_TWO = "the first of 2 audio streams"
EDGE_CASES = {  # what a code says is wrong, or else: samples, channels, rate, codec, warning
    "essentia/doublesize/sin_30_seconds.wav": (1323000, 1, 44100, "WAV/PCM_16", None),
    "essentia/doublesize/sin_30_seconds_eqloud.wav": (1323000, 1, 44100, "WAV/PCM_16", None),
    "essentia/ebur128/seq-3341-1-16bit.flac": (960000, 2, 48000, "FLAC/PCM_16", None),
    "essentia/empty/empty.mp3": "empty",
    "essentia/metadata/empty.mp3": "too-short",
    "essentia/metadata/test-unicode.flac": "damaged",
    "essentia/metadata/test.flac": "damaged",
    "essentia/metadata/test.mp3": (222336, 1, 44100, "MP3", None),
    "essentia/multichannel/4channels.flac": "damaged",
    "essentia/multichannel/4channels.wav": (220491, 4, 44100, "WAV/PCM_16", None),
    "essentia/multistream/multistream2.mka": (132300, 1, 44100, "PCM_S16LE", FIRST_OF_TWO),
    "essentia/silence/silence.flac": "silent",
    f"{BAD_STREAM_INFO}_22050_bad_stream_info.flac": (220500, 1, 22050, "FLAC/PCM_16", None),
    f"{BAD_STREAM_INFO}_22050_st_bad_stream_info.flac": (220500, 2, 22050, "FLAC/PCM_16", None),
    f"{BAD_STREAM_INFO}_48000_bad_stream_info.flac": (480000, 1, 48000, "FLAC/PCM_16", None),
    "essentia/synthesised/impulse/left_right_offset/impulses_1second_44100.wav": (
        (441000, 2, 44100, "WAV/PCM_16", None)
    ),
    "essentia/synthesised/noise_pink.wav": (220500, 1, 44100, "WAV/PCM_16", None),
    "essentia/synthesised/shortfiles/1989_samples.wav": "too-short",
    "essentia/unsupported.au": (220490, 1, 44100, "AU/PCM_16", None),
    "pydub/bach.ogg": (133632, 1, 44100, "FLAC", None),
    "pydub/format_test.m4a": (425984, 1, 44100, "AAC", None),
    "pydub/party.mp3": (290304, 1, 44100, "MP3", None),
    "pydub/tessst.mp3": (69120, 1, 44100, "MP3", None),
    "pydub/test-192khz-32bit.flac": (1336184, 2, 192000, "FLAC/PCM_24", None),
    "pydub/test-dc_offset.wav": (220500, 2, 22050, "WAV/PCM_16", None),
    "pydub/test1-24bit.wav": (441000, 2, 44100, "WAV/PCM_24", None),
    "pydub/test1-8bit.wav": (320303, 2, 32000, "WAV/PCM_U8", None),
    "pydub/test1.raw": "undecodable",
    "pydub/test1.wav": (320303, 2, 32000, "WAV/PCM_16", None),
    "pydub/test1_empty.wav": "empty",
    "pydub/wrong_extension.aac": (425984, 1, 44100, "AAC", None),
}


def test_real_files_that_break_readers(real_data: Path) -> None:
    """Every file is decoded or refused, with the same result as a whole and as a stream."""
    root = real_data / "edge_cases"
    results: dict[str, object] = {}
    for path in (path for path in sorted(root.rglob("*")) if path.is_file()):
        name = path.relative_to(root).as_posix()
        try:
            decoded = decode(path)
            check(decoded)
            count, channels = decoded.samples.shape
            form = decoded.sample_rate, decoded.codec, decoded.warning
            results[name] = (count, channels, *form)
        except BadAudio as bad:
            results[name] = bad.code
        try:
            measured = Levels()
            with open_audio(path, block_s=0.7) as audio:
                for block in audio.blocks():
                    measured.add(block)
            check_levels(measured, audio.sample_rate)
            form = audio.sample_rate, audio.codec, audio.warning
            streamed: object = (audio.samples_read, audio.channels, *form)
        except BadAudio as bad:
            streamed = bad.code
        assert streamed == results[name], name
    assert results == EDGE_CASES


def test_tags_of_real_files(real_data: Path) -> None:
    root = real_data / "edge_cases"
    assert read_file_metadata(root / "essentia/metadata/test.mp3") == {
        "artist": "mtg",
        "title": "test sound",
        "album": "essentia",
        "genre": "Reggae",
        "artists": ["mtg"],
        "genres": ["Reggae"],
        "year": 2009,
    }


def test_years_of_real_files(real_data: Path) -> None:
    """ID3v2 in the mp3 files of Emotify; `DATE`, `YEAR` or no year in the Ogg files of `open`."""
    years = {
        name: Counter(
            read_file_metadata(path)["year"]
            for path in (real_data / "library" / name).rglob(f"*{suffix}")
        )
        for name, suffix in (("emotify", ".mp3"), ("open", ".ogg"))
    }
    assert years == {
        "emotify": {1988: 1, 2003: 30, 2004: 22, 2005: 23, 2006: 26, 2008: 14, 2009: 2, 2010: 7,
                    2011: 4, 2012: 2},
        "open": {None: 31, 2004: 3, 2008: 7, 2011: 3, 2012: 3, 2017: 2, 2018: 1, 2020: 1},
    }  # fmt: skip


def test_metadata_of_a_file_that_mutagen_refuses(real_data: Path) -> None:
    root = real_data / "edge_cases"
    broken = read_file_metadata(root / "essentia/metadata/test-unicode.flac")
    title = (
        "test flac &n\"jef';:/?.>,<-_=+)(*&^%$#@!~`"  # mutagen refuses the file, FFmpeg does not
    )
    assert (broken["artist"], broken["title"]) == ('?mtg $#@!$"&', title)
