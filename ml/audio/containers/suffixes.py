"""Which file names count as audio, and which are audio that melgraph does not read.

A scan of a folder goes by the name; the decoder then looks at the content only.
"""

from collections.abc import Mapping

_LIBSNDFILE = (
    ".wav .wave .w64 .rf64 .aif .aiff .aifc .au .snd .caf .flac .ogg .oga .opus"
    " .mp1 .mp2 .mp3 .mpa .mpga"
)
# With films, of which the sound is used, and with formats that are only read to say "encrypted".
_FFMPEG = (
    ".m4a .m4b .m4r .m4p .m4v .mp4 .mov .3gp .3g2 .aac .webm .weba .mka .mkv .wma .wmv .asf .wv"
    " .spx .aax"
)
AUDIO_SUFFIXES = frozenset(f"{_LIBSNDFILE} {_FFMPEG}".split())

_UNREAD_BY_KIND = {
    "Monkey's Audio": ".ape",
    "Musepack": ".mpc .mpp .mp+",
    "DSD": ".dsf .dff",
    "True Audio": ".tta",
    "TAK": ".tak",
    "OptimFROG": ".ofr .ofs",
    "Shorten": ".shn",
    "RealAudio": ".ra .rm .ram",
    "AMR": ".amr .awb",
    "Dolby": ".ac3 .ec3 .eac3 .thd .mlp",
    "DTS": ".dts .dtshd",
    "Audible": ".aa",
    "other recordings": ".voc .vox .gsm .8svx .sph .qcp .dss",
    "notes without sound": ".mid .midi .kar .rmi",
    "tracker module": ".mod .xm .s3m",
    "game console": ".sid .nsf .spc .vgm .vgz",
    "link to a CD": ".cda",
}
UNREAD_SUFFIXES: Mapping[str, str] = {
    suffix: kind for kind, suffixes in _UNREAD_BY_KIND.items() for suffix in suffixes.split()
}


def describe_ignored(counts: Mapping[str, int], *, most: int = 5) -> list[str]:
    """Two parts of a sentence about the files that a listing ignored, for people.

    >>> describe_ignored({".jpg": 2, ".ape": 9, "": 1, ".mid": 8})
    ["17 are audio that melgraph does not read (9 .ape: Monkey's Audio, 8 .mid: notes without \
sound)", '3 other files ignored (2 .jpg, 1 without a suffix)']

    Args:
        counts: suffix -> number of files.
        most: how many suffixes to name in each part.

    Returns:
        One part for audio that is not read and one for all else; none for a kind without files.
    """
    unread = {suffix: n for suffix, n in counts.items() if suffix in UNREAD_SUFFIXES}
    others = {suffix: n for suffix, n in counts.items() if suffix not in UNREAD_SUFFIXES}
    kinds = [f"{n} {suffix}: {UNREAD_SUFFIXES[suffix]}" for suffix, n in _largest(unread)]
    suffixes = [f"{n} {suffix or 'without a suffix'}" for suffix, n in _largest(others)]
    parts = []
    if unread:
        verb = "is" if sum(unread.values()) == 1 else "are"
        names = _listed(kinds, most)
        parts.append(f"{sum(unread.values())} {verb} audio that melgraph does not read ({names})")
    if others:
        parts.append(f"{sum(others.values())} other files ignored ({_listed(suffixes, most)})")
    return parts


def _largest(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _listed(names: list[str], most: int) -> str:
    return ", ".join(names[:most] + ["..."] * (len(names) > most))
