"""Among real recordings, exactly the known duplicates are found."""

from contextlib import suppress
from pathlib import Path

import pytest

from melgraph.ml.audio import BadAudio
from melgraph.ml.recordings.fingerprints import Fingerprints, fingerprint
from melgraph.ml.recordings.matching import Index
from melgraph.ml.representations.analysis import log_mel_of
from melgraph.ml.spectral import MelTransform

CROPPED = ("blues", "classical", "country", "disco", "hiphop")
CROPPED += ("jazz", "metal", "pop", "reggae", "rock")
# Established by cross-correlating the waveforms (benchmarks/duplicates.py), not by fingerprints.
EMOTIFY = {
    ("classical/54.mp3", "classical/80.mp3"),  # the same track of an album, 2 s apart
    ("rock/63.mp3", "rock/66.mp3"),  # from an album and from a compilation with another mastering
    ("rock/70.mp3", "rock/76.mp3"),
}
GTZAN = {(f"{g}/{g}.00000.crop.flac", f"{g}/{g}.00000.wav") for g in CROPPED} | {
    ("disco/disco.00000.crop.flac", "disco/disco.00000.flac"),
    ("disco/disco.00000.flac", "disco/disco.00000.wav"),
    ("disco/disco.00004.crop.flac", "disco/disco.00004.flac"),
}


def duplicate_pairs(library: Path, pattern: str) -> set[tuple[str, str]]:
    paths = sorted(library.glob(pattern))
    assert paths
    prints, names = [], []
    for path in paths:
        with suppress(BadAudio):
            prints.append(fingerprint(log_mel_of(path, MelTransform())))
            names.append(path.relative_to(library).as_posix())
    tracks = Fingerprints.of(prints)
    matches = Index(tracks).matches(tracks, within=True)
    return {(names[match.query], names[match.reference]) for match in matches}


def test_two_excerpts_that_overlap_by_a_third(real_data):
    prints = []
    for path in sorted((real_data / "library" / "gtzan").glob("*/*.00000.wav"))[:4]:
        mel = log_mel_of(path, MelTransform())
        prints += [fingerprint(mel[: len(mel) * 3 // 5]), fingerprint(mel[len(mel) * 2 // 5 :])]
    tracks = Fingerprints.of(prints)
    matches = Index(tracks).matches(tracks, within=True)
    assert {(match.query, match.reference) for match in matches} == {
        (n, n + 1) for n in (0, 2, 4, 6)
    }


@pytest.mark.parametrize(
    ("library", "pattern", "pairs"),
    [
        ("gtzan", "*/*.*", GTZAN),
        ("emotify", "classical/*.mp3", {pair for pair in EMOTIFY if "classical" in pair[0]}),
        ("emotify", "rock/*.mp3", {pair for pair in EMOTIFY if "rock" in pair[0]}),
        ("world", "*/*.*", set()),
    ],
)
def test_the_known_duplicates_and_no_others(real_data, library, pattern, pairs):
    assert duplicate_pairs(real_data / "library" / library, pattern) == pairs
