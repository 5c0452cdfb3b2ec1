"""What became of every file of a library, file by file: a table for people.

    python benchmarks/files.py FOLDER [--home FOLDER]

Ingests the folder as `melgraph run` does (scan, one batch, `tracks` and `mel_spectrograms`) into a
home that is thrown away, or kept where `--home` names one, and prints a Markdown table.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def ingest_folder(folder: Path, root: Path) -> list[dict]:
    """The rows of `tracks` of a folder ingested into the home at `root`."""
    os.environ.update(MELGRAPH_LIBRARY=str(folder.resolve()), MELGRAPH_HOME=str(root))
    from melgraph.assets.library import ingest
    from melgraph.assets.settings import current_home
    from melgraph.pipelines.intake import cut_batches, scan_library
    from melgraph.storage.artifacts import ArtifactStore, Production
    from melgraph.storage.catalogue import Catalogue
    from melgraph.storage.tables import read_table

    home = current_home().create()
    store, catalogue = ArtifactStore(home), Catalogue(home.catalogue)
    scan = scan_library(home, catalogue, settle_s=0.0, look_again_s=0.0)
    print(f"{scan.sentence()}\n", flush=True)
    rows: list[dict] = []
    for batch in cut_batches(catalogue, scan):
        tracks = ingest.tracks_spec(batch, catalogue.batch_files(batch))
        specs = [
            tracks,
            *ingest.representation_specs(store, tracks.reference, ["mel_spectrograms"]),
        ]
        with Production(store, specs) as production:
            ingest.write_batch(store, production.missing)
        table = production.artifacts[ingest.TRACKS].folder / ingest.TRACKS_TABLE
        rows += read_table(table).to_dicts()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = ingest_folder(options.folder, (options.home or Path(scratch) / "home").resolve())
    print("| file | outcome | codec | Hz | channels | s | what was noted |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        outcome = row["code"] or ("duplicate" if row["duplicate_of"] else "ok")
        note = row["reason"] or row["warning"] or ""
        if row["duplicate_of"]:
            note = f"the same bytes as {row['duplicate_of']}"
        length = "" if row["duration_s"] is None else f"{row['duration_s']:.2f}"
        cells = (row["path"], outcome, row["codec"] or "", row["sample_rate_hz"] or "",
                 row["channels"] or "", length, note)  # fmt: skip
        print("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    counts = Counter(row["code"] or "ok" for row in rows)
    print(f"\n{len(rows)} files: " + ", ".join(f"{n} {code}" for code, n in counts.most_common()))


if __name__ == "__main__":
    main()
