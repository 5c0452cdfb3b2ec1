from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio.headers import asf_seconds, caf_seconds, flac_signature_fits, ogg_is_cut
from tests.ml.audio_files import RATE, encode, tone


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_the_signature_of_a_flac_fits_its_samples_however_they_are_cut(
    subtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, tone(0.2), RATE, subtype=subtype)
    samples = sf.read(path, dtype="float32")[0]
    with path.open("rb") as file:
        for cuts in ([], [1], [0, 17, 4096]):
            assert flac_signature_fits(file, lambda cuts=cuts: np.split(samples, cuts))
        assert not flac_signature_fits(file, lambda: [samples[:-1]])
        other = samples.copy()
        other[7, 1] = -other[7, 1]
        assert not flac_signature_fits(file, lambda: [other])


def test_the_last_page_of_an_ogg(tmp_path: Path) -> None:
    path = tmp_path / "tone.ogg"
    sf.write(path, tone(6.0), RATE)
    content = path.read_bytes()
    last = content.rindex(b"OggS")
    verdicts = {
        "whole": (content, False),
        "a tag behind": (content + b"TAG" + bytes(125), False),
        "half a last page": (content[:-9], True),
        "half a head of a page": (content[: last + 11], True),
        "no last page": (content[:last], True),
        "no page": (bytes(200_000), True),
        "nothing": (b"", True),
    }
    for name, (changed, cut) in verdicts.items():
        path.write_bytes(changed)
        with path.open("rb", buffering=0) as file:
            assert ogg_is_cut(file) == cut, name
            assert file.tell() == 0


def test_the_length_that_caf_and_asf_promise(tmp_path: Path) -> None:
    caf = tmp_path / "tone.caf"
    for subtype, expected in (("PCM_24", 2.0), ("FLOAT", 2.0), ("ALAC_16", None)):
        sf.write(caf, tone(2.0), RATE, subtype=subtype)
        content = caf.read_bytes()
        for share in (1.0, 0.5):  # what the header says, whatever is there
            caf.write_bytes(content[: int(share * len(content))])
            with ExitStack() as closing:
                file = closing.enter_context(caf.open("rb", buffering=0))
                assert caf_seconds(file) == expected
    endless = b"caff" + bytes(4) + b"free" + b"\x7f" + b"\xff" * 7
    no_rate = content[:20] + b"\x7f\xf8" + bytes(6) + content[28:]  # NaN
    headless = b"caff" + bytes(4) + b"data" + b"\xff" * 8
    for broken in (content[:30], content[:8], headless, endless, no_rate, bytes(50_000)):
        caf.write_bytes(broken)
        with caf.open("rb", buffering=0) as file:
            assert caf_seconds(file) is None
    wma = encode(tmp_path / "a.wma", "wmav2", "asf", samples=tone(2.0), bit_rate=128_000)
    with wma.open("rb", buffering=0) as file:
        file.seek(11)
        assert asf_seconds(file) == pytest.approx(2.0, abs=0.1)
        assert file.tell() == 11
    with caf.open("rb", buffering=0) as file:
        assert asf_seconds(file) is None
