"""Do embeddings form genre clusters without labels? Makes docs/results/clusters.md.

    python benchmarks/spaces.py LIBRARY HOME run      # embed, cluster, map; resumes
    python benchmarks/spaces.py LIBRARY HOME print    # the tables, as Markdown

LIBRARY holds `emotify/GENRE/*`, `gtzan/GENRE/*` and `world/STYLE/*`; `MELGRAPH_WEIGHTS` names the
folder with the taggers' weights. HOME may be that of `benchmarks/studies/run.py`; its artifacts are
used. Nothing is tuned: clusters and maps have the shipped settings.
"""

import os
import sys
from pathlib import Path

COLLECTIONS = ("emotify", "gtzan")
ENCODERS = {  # name: (kind and what it names, what the table calls it)
    "musicnn": ('kind = "tagger"\ntagger = "musicnn-jamendo"', "Musicnn, MTG-Jamendo"),
    "fcn": ('kind = "tagger"\ntagger = "fcn-jamendo"', "FCN, MTG-Jamendo"),
    "crnn": ('kind = "tagger"\ntagger = "crnn-jamendo"', "CRNN, MTG-Jamendo"),
    "own-cnn": ('kind = "experiment"\nexperiment = "{here}-cnn"', "our CNN, trained on this"),
    "other-cnn": (
        'kind = "experiment"\nexperiment = "{there}-cnn"',
        "our CNN, of the other",
    ),
    "features": ('kind = "audio_features"', "tabular features"),
    "mel": ('kind = "mel_statistics"', "raw mel (mean and deviation of each band)"),
}
FIGURES = ("accuracy", "nmi", "ari", "silhouette_by_label")


def main() -> None:
    library, home, what = sys.argv[1:]
    os.environ |= {"MELGRAPH_HOME": home, "MELGRAPH_LABEL_LEVEL": "2"}
    if what == "run":
        write_specs(Path(home) / "specs")
        from melgraph.pipelines.cli import main as melgraph

        named = [word for c in COLLECTIONS for word in ("--experiment", f"{c}-cnn")]
        arguments = ["run", "--library", library, "--home", home, "--label-level", "2", *named]
        raise SystemExit(melgraph(arguments))
    show()


def write_specs(folder: Path) -> None:
    """Specify an encoder of each kind for each collection, all in service."""
    import shutil

    shipped = Path(__file__).parent / "studies" / "specs"
    shutil.copytree(
        shipped, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*official*")
    )
    (folder / "encoders").mkdir(parents=True, exist_ok=True)
    for here, there in (COLLECTIONS, COLLECTIONS[::-1]):
        for name, (body, title) in ENCODERS.items():
            text = f'title = "{title}"\n{body.format(here=here, there=there)}\ndataset = "{here}"\n'
            (folder / "encoders" / f"{here}-{name}.toml").write_text(text)
    names = ", ".join(f'"{c}-{name}"' for c in COLLECTIONS for name in ENCODERS)
    (folder / "encoders.toml").write_text(f"in_service = [{names}]\n")


def show() -> None:
    from melgraph.assets.settings import current_home
    from melgraph.storage.artifacts import ArtifactStore

    store = ArtifactStore(current_home())
    for collection in COLLECTIONS:
        reports = {n: store.current("cluster_reports", f"{collection}-{n}") for n in ENCODERS}
        facts_of = {name: report.facts for name, report in reports.items() if report is not None}
        for clusterer in ("kmeans", "mixture"):
            print(f"\n### {collection}: {clusterer}\n")
            print("| encoder | tracks | " + " | ".join(FIGURES) + " |")
            print("| --- | --- |" + " --- |" * len(FIGURES))
            for name, facts in facts_of.items():
                for row in facts["figures"]:
                    tracks = "held-out" if row["tracks"].startswith("held") else "all"
                    if row["clusterer"] == clusterer and tracks == tracks_to_show(name):
                        cells = " | ".join(spell(row[figure]) for figure in FIGURES)
                        print(f"| {ENCODERS[name][1]} | {row['n']} {tracks} | {cells} |")
        print(f"\n### {collection}: clusters by density (HDBSCAN), and music from outside\n")
        print("| encoder | clusters | noise | outside, flagged | AUC, k-NN | AUC, Mahalanobis |")
        print("| --- | --- | --- | --- | --- | --- |")
        for name, facts in facts_of.items():
            density, world = facts["density"], by_folder(facts["outliers"], "world")
            cells = "- | - | -"
            if world is not None:
                areas = [world["auc"][kind] for kind in ("knn", "mahalanobis")]
                cells = f"{world['flagged']} of {world['tracks']} | "
                cells += " | ".join(
                    "{value:.2f} ({low:.2f} to {high:.2f})".format(**a) for a in areas
                )
            clusters = f"{density['clusters']} | {density['noise']:.0%}"
            print(f"| {ENCODERS[name][1]} | {clusters} | {cells} |")


def tracks_to_show(name: str) -> str:
    """A network that was trained on these labels is evaluated on held-out tracks only."""
    return "held-out" if name == "own-cnn" else "all"


def by_folder(outliers: dict, folder: str) -> dict | None:
    rows = [] if outliers["absent"] else outliers["by_folder"]
    return next((row for row in rows if row["folder"] == folder), None)


def spell(figure: dict | None) -> str:
    if figure is None or figure["value"] is None:
        return "-"
    return "{value:.2f} ({low:.2f} to {high:.2f}; shuffled {chance:.2f})".format(**figure)


if __name__ == "__main__":
    main()
