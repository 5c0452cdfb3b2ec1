"""How often do recommended tracks share the label? Makes docs/results/recommendations.md.

    python benchmarks/recommendations.py LIBRARY HOME run      # embed and recommend; resumes
    python benchmarks/recommendations.py LIBRARY HOME print    # the table, as Markdown

LIBRARY holds `GENRE/*`; `MELGRAPH_WEIGHTS` names the folder with the taggers' weights. Nothing is
tuned. The network of our own is trained without the cross-validation of its evaluation, which
recommendations do not use.
"""

import os
import sys
from pathlib import Path

CNN = "recommending-cnn"
ENCODERS = {
    "musicnn-jamendo": "Musicnn, MTG-Jamendo",
    "fcn-jamendo": "FCN, MTG-Jamendo",
    CNN: "small CNN, trained on this",
    "audio-features": "tabular features",
    "mel-statistics": "mean and deviation of each mel band",
}


def main() -> None:
    library, home, what = sys.argv[1:]
    os.environ["MELGRAPH_HOME"] = home
    if what == "print":
        return show()
    write_specs(Path(home) / "specs")
    from melgraph.pipelines.cli import main as melgraph

    raise SystemExit(melgraph(["run", "--library", library, "--home", home, "--experiment", CNN]))


def write_specs(folder: Path) -> None:
    """Specify the network, its encoder, and the encoders in service."""
    texts = {
        f"experiments/{CNN}": 'extends = "small-cnn"\ntitle = "Small CNN"\nfolds = 0\n',
        f"encoders/{CNN}": f'title = "Small CNN"\nkind = "experiment"\nexperiment = "{CNN}"\n',
        "encoders": f"in_service = {list(ENCODERS)}\n",
    }
    for name, text in texts.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def show() -> None:
    """Print a row for each encoder that has recommendations, the best first."""
    from melgraph.assets.recommendations.agreement import best_first
    from melgraph.assets.settings import current_home
    from melgraph.storage.artifacts import ArtifactStore

    store = ArtifactStore(current_home())
    existing = {name: store.current("recommendations", name) for name in ENCODERS}
    made = {name: one.facts for name, one in existing.items() if one is not None}
    print("| encoder | same label (95 %) | random tracks | held-out tracks / groups |")
    print("| --- | --- | --- | --- |")
    for name in sorted(made, key=lambda name: best_first(made[name])):
        facts = made[name]
        figure, low, high = (facts[f"same_label{end}"] for end in ("", "_low", "_high"))
        print(
            f"| {ENCODERS[name]} | {figure:.1%} ({low:.1%} to {high:.1%}) "
            f"| {facts['same_label_by_chance']:.1%} "
            f"| {facts['held_out_tracks']} / {facts['held_out_groups']} |"
        )


if __name__ == "__main__":
    main()
