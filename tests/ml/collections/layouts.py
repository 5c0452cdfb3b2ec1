"""Tiny samples of real layouts: the headers are those of the real files."""

import csv
from pathlib import Path

from melgraph.ml.collections import Track

FMA_NAMES = {
    "album": "comments date_created date_released engineer favorites id information listens "
    "producer tags title tracks type",
    "artist": "active_year_begin active_year_end associated_labels bio comments date_created "
    "favorites id latitude location longitude members name related_projects tags website "
    "wikipedia_page",
    "set": "split subset",
    "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top "
    "genres genres_all information interest language_code license listens lyricist number "
    "publisher tags title",
}
FMA_COLUMNS = [(level, name) for level, names in FMA_NAMES.items() for name in names.split()]
JAMENDO_HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"
GENRES_CSV = (
    "genre_id,#tracks,parent,title,top_level\n12,32923,0,Rock,12\n21,12201,0,Hip-Hop,21\n"
    "25,9261,12,Punk,12\n"
)


def tracks(*paths: str) -> list[Track]:
    return [Track(path, f"{number:032x}") for number, path in enumerate(paths)]


def write_fma(folder: Path, rows: list[dict[str, str]]) -> Path:
    """`tracks.csv` as pandas writes a two-level header with a named index, and `genres.csv`.

    Keys of a row are `track_id` and `level.name`; what is absent is empty, as in the real file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tracks.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *(level for level, _ in FMA_COLUMNS)])
        writer.writerow(["", *(name for _, name in FMA_COLUMNS)])
        writer.writerow(["track_id", *("" for _ in FMA_COLUMNS)])
        for row in rows:
            cells = (row.get(f"{level}.{name}", "") for level, name in FMA_COLUMNS)
            writer.writerow([row["track_id"], *cells])
    (folder / "genres.csv").write_text(GENRES_CSV, encoding="utf-8")
    return folder


def fma_row(
    number: int, *, split="training", subset="small", top="Rock", genres="[12]", artist="1"
) -> dict[str, str]:
    return {
        "track_id": str(number),
        "set.split": split,
        "set.subset": subset,
        "track.genre_top": top,
        "track.genres": genres,
        "track.title": f"Song, no. {number}",
        "artist.id": artist,
        "artist.name": f"Artist {artist}",
        "artist.bio": '<p>A line,\nand "another"</p>',  # the real file is full of these
        "album.id": f"9{artist}",
    }


def write_gtzan(folder: Path, **lists: list[str]) -> Path:
    """The three lists; `train=["blues.00029"]` is the line `blues/blues.00029.wav`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "valid", "test"):
        lines = (f"{clip.split('.')[0]}/{clip}.wav\n" for clip in lists.get(split, []))
        (folder / f"{split}_filtered.txt").write_text("".join(lines))
    return folder


def write_jamendo(folder: Path, subset="autotagging_top50tags", **lists: list[str]) -> Path:
    """The three lists; a line is `track artist tag tag ...`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation", "test"):
        lines = [JAMENDO_HEADER]
        for line in lists.get(split, []):
            track, artist, *tags = line.split()
            path = f"{int(track) % 100:02d}/{track}.mp3"
            first = f"track_{int(track):07d}\tartist_{int(artist):06d}\talbum_000031"
            lines.append("\t".join([first, path, "151.4", *tags]))
        (folder / f"{subset}-{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder
