"""What containers say about themselves: lengths, wholeness, encryption, signatures."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import BadAudio, check, decode
from melgraph.ml.audio.containers import asf, caf, flac, ogg
from melgraph.ml.audio.containers.part import Part, after_id3
from melgraph.ml.audio.containers.structure import encrypted_kind, is_whole
from tests.ml.audio.odd_files import (
    KEY,
    WRONG_LENGTHS,
    changed,
    encrypted_matroska,
    id3,
    with_object,
)
from tests.ml.audio.ogg_files import flac_in_ogg, moved_on, pages_of
from tests.ml.audio_files import RATE, code_of, encode, tone, with_total_samples


def part_of(path: Path) -> Part:
    return Part(path.open("rb", buffering=0))


def test_a_part_reads_like_a_file_with_corrected_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(100)))
    whole = part_of(path)
    assert (whole.size, whole.descriptor is None, whole.read()) == (100, False, bytes(range(100)))
    part = whole.part(10, 20).corrected({2: b"ab", 8: b"cdef"})
    expected = bytes([10, 11, *b"ab", 14, 15, 16, 17, *b"cd"])
    assert (part.size, part.descriptor, part.read(), part.read()) == (10, None, expected, b"")
    for start in range(10):
        for count in range(1, 12 - start):
            assert part.pread(count, start) == expected[start : start + count]
    assert (part.pread(5, -1), part.pread(5, 10)) == (b"", b"")
    assert (part.seek(-3, 2), part.read(2), part.seek(-1), part.tell()) == (7, expected[7:9], -1, 9)
    assert part.again().tell() == 0
    assert part.part(2, 99).read() == bytes(range(12, 20))
    assert whole.part(90, 999).size == 10


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_the_signature_of_a_flac_fits_its_samples_however_they_are_cut(
    subtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, tone(0.2), RATE, subtype=subtype)
    samples = sf.read(path, dtype="float32")[0]
    part = part_of(path)
    for cuts in ([], [1], [0, 17, 4096]):
        assert flac.signature_fits(part, lambda cuts=cuts: np.split(samples, cuts))
    assert not flac.signature_fits(part, lambda: [samples[:-1]])
    other = samples.copy()
    other[7, 1] = -other[7, 1]
    assert not flac.signature_fits(part, lambda: [other])


@pytest.mark.parametrize("rate", [8000, 44100, 96000, 12345])
def test_frames_of_a_flac_behind_its_stated_end(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, tone(3.0, rate, 1), rate)
    assert not flac.goes_on(part_of(path), 3 * rate)
    for tail in (b"TAG" + bytes(125), np.random.default_rng(4).bytes(50_000)):
        path.write_bytes(path.read_bytes() + tail)
        assert not flac.goes_on(part_of(path), 3 * rate)
    assert flac.goes_on(part_of(path), 2 * rate)
    assert not flac.goes_on(part_of(path), 4 * rate)


def test_a_flac_that_states_less_is_used_to_its_end(tmp_path: Path) -> None:
    """Also if what follows is less than libsndfile reads ahead."""
    path = tmp_path / "tone.flac"
    sf.write(path, 0.01 * tone(4.56, 8000, 1), 8000, subtype="PCM_S8")
    assert path.stat().st_size < 8192
    samples = decode(path).samples
    decoded = decode(with_total_samples(path, int(1.66 * 8000)))
    np.testing.assert_array_equal(decoded.samples, samples)
    assert decoded.warning == "the file promises 1.66 s, 4.56 s decode"


def test_a_flac_between_a_large_tag_and_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, tone(1.0), RATE)
    content, samples = path.read_bytes(), decode(path).samples
    path.write_bytes(id3(2_000_000) + id3(10) + content + b"TAG" + bytes(125))
    np.testing.assert_array_equal(decode(path).samples, samples)
    part = part_of(path)
    assert after_id3(part).read(4) == b"fLaC"
    path.write_bytes(content)
    part = part_of(path)
    assert after_id3(part) is part


def test_the_last_page_of_an_ogg(tmp_path: Path) -> None:
    path = tmp_path / "tone.ogg"
    sf.write(path, tone(6.0), RATE)
    content = path.read_bytes()
    last = content.rindex(b"OggS")
    verdicts = {
        "whole": (content, True),
        "a tag behind": (content + b"TAG" + bytes(125), True),
        "half a last page": (content[:-9], False),
        "half a head of a page": (content[: last + 11], False),
        "no last page": (content[:last], False),
    }
    for name, (variant, ends) in verdicts.items():
        path.write_bytes(variant)
        (link,) = ogg.links(part_of(path))
        assert (link.ends, link.hole) == (ends, False), name
    path.write_bytes(bytes(200_000))
    assert ogg.links(part_of(path)) == []
    pages = list(pages_of(content))
    path.write_bytes(b"".join(pages[:4] + pages[5:]))
    assert ogg.links(part_of(path))[0].hole
    path.write_bytes(b"".join(pages[:2] + pages[5:]))  # joined a running stream
    assert not ogg.links(part_of(path))[0].hole


@pytest.mark.parametrize("kind", ["vorbis", "opus", "flac"])
def test_a_captured_stream_whose_positions_begin_late(kind: str, tmp_path: Path) -> None:
    path, rate = tmp_path / "captured.ogg", 48000
    if kind == "opus":
        content = encode(path, "libopus", "ogg", rate=rate, samples=tone(2.0, rate)).read_bytes()
    else:
        sf.write(path, tone(2.0, rate), rate, format=kind.replace("vorbis", "ogg").upper())
        content = path.read_bytes() if kind == "vorbis" else flac_in_ogg(path)
    path.write_bytes(content)
    whole = decode(path)
    assert whole.seconds == pytest.approx(2.0, abs=0.01)
    for later in (1, 12_345, 7206 * rate):
        path.write_bytes(moved_on(content, later))
        decoded = decode(path)
        check(decoded)
        np.testing.assert_array_equal(decoded.samples, whole.samples)
        assert decoded.warning == whole.warning
    pages = list(pages_of(moved_on(content, 7206 * rate)))
    middle = len(pages) // 2
    path.write_bytes(b"".join(pages[:middle] + pages[middle + 1 :]))
    if kind == "flac":  # the others' pages are as long as what is left
        assert code_of(path) == "damaged"


def test_the_length_that_caf_and_asf_state(tmp_path: Path) -> None:
    path = tmp_path / "tone.caf"
    for subtype, expected in (("PCM_24", 2.0), ("FLOAT", 2.0), ("ALAC_16", None)):
        sf.write(path, tone(2.0), RATE, subtype=subtype)
        content = path.read_bytes()
        for share in (1.0, 0.5):  # what the header says, whatever is there
            path.write_bytes(content[: int(share * len(content))])
            assert caf.seconds(part_of(path)) == expected
    endless = b"caff" + bytes(4) + b"free" + b"\x7f" + b"\xff" * 7
    no_rate = content[:20] + b"\x7f\xf8" + bytes(6) + content[28:]  # NaN
    headless = b"caff" + bytes(4) + b"data" + b"\xff" * 8
    for broken in (content[:30], content[:8], headless, endless, no_rate, bytes(50_000)):
        path.write_bytes(broken)
        assert caf.seconds(part_of(path)) is None
        assert asf.seconds(part_of(path)) is None
    wma = encode(tmp_path / "a.wma", "wmav2", "asf", samples=tone(2.0), bit_rate=128_000)
    part = part_of(wma)
    part.seek(11)
    assert asf.seconds(part) == pytest.approx(2.0, abs=0.1)
    assert part.tell() == 11


@pytest.mark.parametrize("kind", WRONG_LENGTHS)
def test_a_wrong_length_in_the_header_of_a_whole_file_is_a_warning(
    kind: str, tmp_path: Path
) -> None:
    encoder, container, options, change = WRONG_LENGTHS[kind]
    path = tmp_path / f"tone.{kind}"
    rate = 128_000 if kind in ("wma", "mp3") else 0
    form = "s16p" if kind == "wv" else ""
    encode(path, encoder, container, samples=tone(2.0), bit_rate=rate, form=form, **options)
    content, whole = path.read_bytes(), decode(path)
    path.write_bytes(changed(content, *change))
    decoded = decode(path)
    check(decoded)
    count = min(len(decoded.samples), len(whole.samples))
    assert count > 1.9 * RATE
    np.testing.assert_array_equal(decoded.samples[:count], whole.samples[:count])
    assert "nothing was cut off, so the header is wrong" in str(decoded.warning)
    assert is_whole(part_of(path), decoded.container)

    path.write_bytes(changed(content, *change)[: int(0.7 * len(content))])
    assert not is_whole(part_of(path), decoded.container)
    assert code_of(path) == "truncated"


@pytest.mark.parametrize("kind", ["cenc", "fairplay", "matroska", "wma"])
def test_encrypted_files_say_so(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    if kind == "cenc":
        options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": KEY}
        encode(path, "aac", "mp4", samples=tone(1.0), encryption_kid=KEY, **options)
    elif kind == "fairplay":
        encode(path, "aac", "ipod", samples=tone(1.0))
        assert encrypted_kind(part_of(path)) is None
        path.write_bytes(path.read_bytes().replace(b"mp4a", b"drms"))
    elif kind == "matroska":
        encrypted_matroska(path)
    else:
        encode(path, "wmav2", "asf", samples=tone(1.0), bit_rate=64_000)
        assert encrypted_kind(part_of(path)) is None
        guid = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
        path.write_bytes(with_object(path.read_bytes(), guid + struct.pack("<Q", 40) + bytes(16)))
    with pytest.raises(BadAudio, match=r"encrypted: the sound of this .* file is encrypted") as bad:
        decode(path)
    assert bad.value.code == "encrypted"


def test_nothing_else_is_encrypted_or_whole(tmp_path: Path) -> None:
    path = tmp_path / "other"
    for content in (b"", b"RIFF", bytes(1000), np.random.default_rng(2).bytes(1000)):
        for start in (b"", b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"wvpk"):
            path.write_bytes(start + content)
            part = part_of(path)
            assert encrypted_kind(part) is None
            kinds = ("MOV", "MATROSKA", "ASF", "WV", "MP3", "WAV")
            assert [is_whole(part, kind) for kind in kinds] == [False] * 6
