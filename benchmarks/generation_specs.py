"""The dataset, experiments and recipes of docs/results/generation.md, as TOML files of a home.

    python benchmarks/generation_specs.py HOME

The experiments are the shipped ones on the dataset `emotify`, with few epochs, as two cores allow.
Recipes `rock-...` move 20 held-out songs towards rock; recipes `three-...` use the same three songs
for each method. Everything named `music-...` belongs to the generative models, on the dataset
`music`. Existing files are left alone.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "ml" / "specs"
DATASET = {
    "title": "Emotify: four genres by folder, half of the songs held out",
    "collection": "emotify",
    "train": 0.5,
    "validation": 0.0,
    "test": 0.5,
}
SHORT = {"epochs": 6, "batch_size": 8, "crops_per_track": 1}
TRAININGS: dict[str, dict[str, Any]] = {
    "probe": {},
    "probe-musicnn": {},
    "probe-mn04": {},
    "small-cnn": {"epochs": 15},
    "sample-cnn": {"epochs": 10},
    "sources-resnet18-amplitude": SHORT,
    "sources-resnet18-phase": {},  # these two extend the one above
    "sources-resnet18-both": {},
}
THREE = {
    "dataset": "emotify",
    "paths": [
        "emotify/classical/59.mp3",
        "gtzan/blues/blues.00000.wav",
        "open/ancient-world-orchestral-folk/Omri-Lahav__Hill-of-Sorrows.ogg",
    ],
    "by_default": True,
}
GUIDE = {"guide": "open/instrumental-rock-metal/Carlos-Viola-Sectoid__Metal-madness.ogg"}
SAME_SONGS: dict[str, tuple[str, dict[str, Any]]] = {  # recipe -> the shipped one, further keys
    "three-inversion": ("inversion", {}),
    "three-inversion-mel": ("inversion-mel", {}),
    "three-inversion-mfcc": ("inversion-mfcc", {}),
    "three-deep-dream": ("deep-dream", {}),
    "three-amplitude": ("dreaming-in-music", {}),
    "three-phase": ("dreaming-in-music-phase", {}),
    "three-both": ("dreaming-in-music-both", {}),
    "three-waveform": ("dream-waveform", {}),
    "three-guided": ("dreaming-in-music-guided", GUIDE),
    "three-style-vgg": ("style-transfer-vgg", GUIDE),
    "three-style-resnet": ("style-transfer-resnet", GUIDE),
    "three-style-mn04": ("style-transfer-mn04", GUIDE),
    "three-style-random-1d": ("style-transfer-random-1d", GUIDE),
}
ROCK = {
    "dataset": "emotify",
    "guide_label": "rock",
    "tracks": 20,
    "excerpt_s": 5.0,
    "by_default": True,
}
# Generative models need more recordings: those of Emotify and GTZAN together.
MUSIC = {
    "title": "Emotify and GTZAN: genres by folder, half of the songs held out",
    "min_tracks_per_class": 8,
    "train": 0.5,
    "validation": 0.0,
    "test": 0.5,
}
MUSIC_JUDGES = ("probe-musicnn", "probe-mn04")
GENERATIVE_MODELS = (
    "cyclegan-classical-rock",
    "recreation-plain",
    "recreation-lstm",
    "composition",
)
MUSIC_RECIPES = (
    "cyclegan-classical-rock",
    "cyclegan-rock-classical",
    "recreation-plain",
    "recreation-lstm",
    "composition",
)
MUSIC_SOUNDS = {"tracks": 24, "excerpt_s": 5.0, "by_default": True}
SHORT_DREAM = {"dream": {"octaves": 4, "steps": 12}}
TOWARDS_ROCK: dict[str, tuple[str, str, dict[str, Any]]] = {  # recipe -> the same, and its title
    "rock-guided-dream": ("dreaming-in-music-guided", "Guided dream (ResNet-18)", SHORT_DREAM),
    "rock-style-vgg": ("style-transfer-vgg", "Style transfer by VGG-16", {}),
    "rock-style-resnet": ("style-transfer-resnet", "Style transfer by the ResNet-18", {}),
    "rock-style-mn04": ("style-transfer-mn04", "Style transfer by mn04", {}),
    "rock-style-random-1d": (
        "style-transfer-random-1d",
        "Style transfer by random filters along time",
        {},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("home", type=Path)
    home = parser.parse_args().home
    for path, spec in specs():
        file = home / "specs" / path
        if file.exists():
            print(f"{file} exists, and is left alone", file=sys.stderr)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{key} = {toml(value)}\n" for key, value in spec.items()))


def specs() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path below `specs/` and content of each file."""
    yield "datasets/emotify.toml", DATASET
    yield from music_specs()
    for name, training in TRAININGS.items():
        shipped = tomllib.loads((SHIPPED / "experiments" / f"{name}.toml").read_text())
        shipped |= {"folds": 0} | ({"dataset": "emotify"} if "dataset" in shipped else {})
        if training:
            shipped["training"] = shipped.get("training", {}) | training
        shipped.pop("by_default", None)
        yield f"experiments/{name}.toml", shipped
    for name, (extended, own) in SAME_SONGS.items():
        shipped = tomllib.loads((SHIPPED / "recipes" / f"{extended}.toml").read_text())
        title = f"{shipped['title']}: the same three songs"
        yield f"recipes/{name}.toml", {"extends": extended, "title": title, **THREE, **own}
    for name, (extended, title, own) in TOWARDS_ROCK.items():
        yield f"recipes/{name}.toml", {"extends": extended, "title": title, **ROCK, **own}


def music_specs() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Dataset, judges, generative models and recipes of the sounds of trained generators."""
    yield "datasets/music.toml", MUSIC
    for name in MUSIC_JUDGES:
        shipped = tomllib.loads((SHIPPED / "experiments" / f"{name}.toml").read_text())
        shipped.pop("fallback_for", None)
        shipped |= {"dataset": "music", "folds": 0}
        yield f"experiments/music-{name}.toml", shipped
    for name in GENERATIVE_MODELS:
        keys: dict[str, Any] = {"extends": name, "dataset": "music"}
        keys["title"] = title_of("generative_models", name)
        if name == "cyclegan-classical-rock":  # a distance needs 5 validation songs per genre
            keys["validation"] = 0.25
        if name == "composition":  # the other genres have too few recordings
            keys["genres"] = ["classical", "electronic", "pop", "rock"]
        yield f"generative_models/music-{name}.toml", keys
    for name in MUSIC_RECIPES:
        shipped = tomllib.loads((SHIPPED / "recipes" / f"{name}.toml").read_text())
        keys = {"extends": name, "title": shipped["title"], "model": f"music-{shipped['model']}"}
        yield f"recipes/music-{name}.toml", keys | MUSIC_SOUNDS


def title_of(kind: str, name: str) -> str:
    """The title of a shipped specification."""
    return str(tomllib.loads((SHIPPED / kind / f"{name}.toml").read_text())["title"])


def toml(value: Any) -> str:
    """A value as TOML; tables are written inline."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
