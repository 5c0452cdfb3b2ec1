"""Libraries whose artists and recordings are spelled in ways that once divided them."""

import unicodedata

BEYONCE = "Beyonc\u00e9"
FULL_WIDTH = "\uff2d\uff59\uff53\uff54\uff52\uff4f"  # Mystro, as some Japanese software writes it


def song(path: str, *artists: str, album: str | None = None, title: str | None = None) -> dict:
    """A file: its path below the library, and its metadata."""
    return {"path": path, "artists": list(artists), "album": album, "title": title}


def _by_artist(folder: str, *artists: str | tuple[str, ...]) -> list[dict]:
    """One file for each artist field, in folders by label alone; names say nothing."""
    fields = [(one,) if isinstance(one, str) else one for one in artists]
    return [
        song(f"{folder}/{abs(hash_of((folder, field, n))):012d}.mp3", *field)
        for n, field in enumerate(fields)
    ]


def hash_of(value: object) -> int:
    """A number of 12 digits that is the same in every process."""
    import hashlib

    return int(hashlib.sha256(repr(value).encode()).hexdigest(), 16) % 10**12


def _files(*paths: str) -> list[dict]:
    return [song(path) for path in paths]


# Each case is one group. Names of cases say how the names differ.
CASES: dict[str, list[dict]] = {
    "feat. and ft.": _by_artist("rock", "Alder", "Alder feat. Birch", "Alder ft. Birch"),
    "feat. in brackets": _by_artist("rock", "Cedar", "Cedar (feat. Dogwood)", "Cedar [Ft Elm]"),
    "featuring two": _by_artist("jazz", "Fir", "Fir featuring Gum & Hazel", "Hazel"),
    "a guest of two": _by_artist("jazz", "Ivy feat. Juniper", "Kauri feat. Juniper"),
    "feat. in the title": [
        song("rock/100000000001.mp3", "Larch", title="Dusk"),
        song("jazz/100000000002.mp3", "Maple", title="Dawn (feat. Larch)"),
    ],
    "semicolon": _by_artist("jazz", "Nutmeg", "Nutmeg; Oak", "Oak"),
    "several values": _by_artist("rock", "Pine", ("Pine", "Quince"), "Quince"),
    "slash with blanks": _by_artist("rock", "Rowan", "Spruce / Rowan"),
    "slash as ID3v2.3 writes it": _by_artist("rock", "Teak", "Teak/Upas", "Upas"),
    "comma": _by_artist("jazz", "Viburnum", "Viburnum, Willow", "Willow"),
    "versus": _by_artist("jazz", "Yew", "Yew vs. Zelkova", "Zelkova"),
    "the": _by_artist("rock", "The Zombies", "Zombies", "the zombies"),
    "article last": _by_artist("rock", "Kinks, The", "The Kinks"),
    "article of another language": _by_artist("rock", "Die Toten Hosen", "Toten Hosen"),
    "family name first": _by_artist("jazz", "Davis, Miles", "Miles Davis"),
    "composed and decomposed": _by_artist(
        "jazz", BEYONCE, unicodedata.normalize("NFD", BEYONCE)
    ),
    "accents": _by_artist("rock", "Motörhead", "Motorhead", "Motoerhead"),
    "letters without decomposition": _by_artist("rock", "BØRNS", "Borns", "Boerns"),
    "punctuation": _by_artist("rock", "AC/DC", "ACDC", "AC-DC", "A.C.D.C."),
    "symbols for letters": _by_artist("rock", "P!nk", "Pink", "PINK"),
    "and": _by_artist("rock", "Hootie & the Blowfish", "Hootie and the Blowfish"),
    "case and blanks": _by_artist("jazz", "  ornette   COLEMAN", "Ornette Coleman"),
    "full width": _by_artist("jazz", FULL_WIDTH, "Mystro"),
    "Cyrillic yo": _by_artist("jazz", "Ёлка", "Елка"),
    "remix": _by_artist("jazz", "Kettel", "Kettel (Secede Remix)"),
    "remixer": _by_artist("rock", "Ostrich (Plover Remix)", "Plover"),
    "album without an artist": [
        song(f"jazz/20000000000{n}.mp3", album="Night on the Estuary") for n in range(4)
    ],
    "album of an unknown artist": [
        song(f"jazz/30000000000{n}.mp3", "Unknown Artist", album="Reeds at Noon") for n in range(3)
    ],
    "folders": _files(
        "rock/Heron Society/First Flight/01 Up.mp3",
        "rock/Heron Society/First Flight/02 Over.mp3",
        "rock/Heron Society/Second Flight/01 Down.mp3",
    ),
    "folders with discs": _files(
        "jazz/Grebe Union/Complete Works/CD1/01 One.mp3",
        "jazz/Grebe Union/Complete Works/CD2/01 Two.mp3",
        "jazz/Grebe Union/Outtakes/03 Three.mp3",
    ),
    "folder of an artist": _files(
        "rock/Dunlin Brothers/Alpha.mp3", "rock/Dunlin Brothers/Beta.mp3",
        "jazz/Dunlin Brothers/Gamma.mp3",
    ),
    "folder of artist and album": _files(
        "jazz/Curlew Four - Mud/Delta.mp3", "jazz/Curlew Four - Sand/Epsilon.mp3"
    ),
    "folder and metadata": [
        song("rock/400000000001.mp3", "Avocet Nine"),
        song("rock/Avocet Nine/Salt/01 Zeta.mp3"),
    ],
    "artist in the file name": _files(
        "rock/Bittern Street - Eta.mp3", "rock/Bittern Street - Theta.mp3",
        "rock/03 - Bittern Street - Iota.mp3",
    ),
    "artist in the file name, underscores": _files(
        "jazz/shrike_four_-_kappa.mp3", "jazz/Shrike Four - Lambda.mp3"
    ),
    "artist in the file name and in the metadata": [
        song("jazz/500000000001.mp3", "Snipe & Sons"), *_files("jazz/Snipe & Sons - Mu.mp3")
    ],
    "parts": _files(*(f"rock/night drive_part{n}.wav" for n in range(1, 5))),
    "parts with Roman numbers": _files(
        "jazz/Murmuration (Pt. I).wav", "jazz/Murmuration (Pt. II).wav"
    ),
    "parts of a clip, as of GTZAN": _files(
        *(f"electronic/electronic.00042.{n}.wav" for n in range(4))
    ),
    "numbers": _files(*(f"jazz/sunrise-0{n}.wav" for n in range(1, 4))),
    "chunks of a numbered track": _files(
        "electronic/004711_chunk_00.wav", "electronic/004711_chunk_01.wav"
    ),
    "seconds": _files("electronic/high tide_0_30.wav", "electronic/high tide_30_60.wav"),
    "a crop": _files(
        "electronic/low tide.wav", "electronic/low tide.crop.flac",
        "electronic/Low Tide (live).mp3",
    ),
}  # fmt: skip

# Each of these sets of files is as many groups as files.
SEPARATE: dict[str, list[dict]] = {
    "an ampersand": _by_artist("rock", "Loon", "Loon & Merganser", "Merganser"),
    "the word and": _by_artist("rock", "Teal", "Teal and Wigeon"),
    "placeholders": _by_artist(
        "jazz", "Various Artists", "V.A.", "Unknown Artist", "various artists", "VA", "Various",
        "Unbekannter Interpret", "Artiste inconnu", "Varios artistas", "不明なアーティスト",
    ),
    "the folder of a placeholder": _files(
        "jazz/Various Artists/Best of All/01 Nu.mp3", "jazz/Various Artists/Best of All/02 Xi.mp3"
    ),
    "a common title of albums": [
        song("jazz/600000000001.mp3", album="Greatest Hits"),
        song("jazz/600000000002.mp3", album="Greatest Hits"),
    ],
    "tracks of an album": _files(
        "rock/Track 1.mp3", "rock/Track 2.mp3", "rock/Track 10.mp3", "rock/Piste 3.mp3",
        "rock/Piste 4.mp3",
    ),
    "clips of a collection": _files(
        *(f"electronic/electronic.{n:05d}.wav" for n in range(50, 53))
    ),
    "numbers of tracks": _files(
        "electronic/000002.mp3", "electronic/000005.mp3", "electronic/1-01.mp3",
        "electronic/1-02.mp3",
    ),
    "a number and a title": _files(
        "jazz/01 - Omicron.mp3", "jazz/01 - Pi.mp3", "jazz/02 - Rho.mp3"
    ),
    "the label as artist": _files("jazz/Jazz - Sigma.mp3", "jazz/Jazz - Tau.mp3"),
    "original mixes": [
        song("electronic/700000000001.mp3", "Godwit", title="Upsilon (Original Mix)"),
        song("electronic/700000000002.mp3", "Ruff", title="Phi (Original Mix)"),
    ],
    "names of folders without meaning": _files("jazz/wav/Chi.mp3", "jazz/wav/Psi.mp3"),
}  # fmt: skip
