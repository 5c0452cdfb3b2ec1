"""A table of all files of a library: the outcome of each in the ingest.

    python benchmarks/files.py [FOLDER] [--home FOLDER]

Ingests the folder as `melgraph run` does (scan, one track batch, `tracks` and `mel_spectrograms`)
and prints a Markdown table. Without a folder, the files are those of `tests/ml/audio/odd_cases.py`,
which are written first, and the table says what became of each before. Uses a temporary home, or
the one that `--home` names.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from melgraph.assets.stages import TRACKS

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.ml.audio.odd_cases import CASES, NOT_LISTED, write_cases


def ingest_folder(folder: Path, root: Path) -> list[dict]:
    """Ingest a folder into the home at `root` and return the rows of its `tracks`."""
    os.environ.update(MELGRAPH_LIBRARY=str(folder.resolve()), MELGRAPH_HOME=str(root))
    from melgraph.assets.context import Context
    from melgraph.assets.library.ingest import representation_spec, write_batch
    from melgraph.assets.library.tracks import Tracks
    from melgraph.assets.settings import current_home
    from melgraph.assets.stages import MEL_SPECTROGRAMS
    from melgraph.pipelines.intake import cut_batches, scan_library
    from melgraph.storage.artifacts import Production

    home = current_home().create()
    context = Context.open(home)
    scan = scan_library(home, context.catalogue, settle_s=0.0, look_again_s=0.0)
    print(f"{scan.sentence()}\n", flush=True)
    rows: list[dict] = []
    for batch in cut_batches(context.catalogue, scan):
        tracks = TRACKS.plan(context, batch)
        mel = representation_spec(MEL_SPECTROGRAMS, context, tracks.reference)
        with Production(context.store, [tracks, mel]) as production:
            write_batch(context.store, production.missing)
        rows += Tracks.at(context.store, tracks.reference).table().to_dicts()
    return rows


def outcome_of(row: dict) -> str:
    return row["code"] or ("duplicate" if row["duplicate_of"] else "ok")


def note_of(row: dict) -> str:
    if row["duplicate_of"]:
        return f"the same sound as {row['duplicate_of']}"
    return row["reason"] or row["warning"] or ""


def seconds_of(row: dict) -> str:
    return "" if row["duration_s"] is None else f"{row['duration_s']:.2f}"


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")


def print_files(rows: Sequence[dict]) -> None:
    """The table of the files of any folder."""
    print_row("file", "outcome", "codec", "Hz", "channels", "s", "note")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print_row(
            row["path"], outcome_of(row), row["codec"] or "", row["sample_rate_hz"] or "",
            row["channels"] or "", seconds_of(row), note_of(row),
        )  # fmt: skip


def print_cases(rows: Sequence[dict]) -> None:
    """The table of the odd files: what each was before, and is now."""
    by_path = {row["path"]: row for row in rows}
    print_row("file", "what", "before", "now", "s", "note")
    print("|---|---|---|---|---|---|")
    for name, case in CASES.items():
        row = by_path.get(name)
        if row is None:
            print_row(name, case.what, case.before, NOT_LISTED, "", "named in the scan, above")
            continue
        tags = ", ".join(row[field] for field in ("artist", "title") if row[field])
        note = "; ".join(text for text in (row["reason"] or row["warning"], tags) if text)
        print_row(name, case.what, case.before, row["code"] or "ok", seconds_of(row), note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "odd"
        if options.folder is None:
            write_cases(folder)
        rows = ingest_folder(folder, (options.home or Path(scratch) / "home").resolve())
    (print_files if options.folder else print_cases)(rows)
    counts = Counter(row["code"] or "ok" for row in rows)
    print(f"\n{len(rows)} files: " + ", ".join(f"{n} {code}" for code, n in counts.most_common()))


if __name__ == "__main__":
    main()
