"""What `ml.memory.keep_freed_memory` is worth: training on a CPU, with it and without.

    python benchmarks/heap.py [ROUNDS]

Each side is a process of its own, in turns, since a process cannot take it back. The ratio is the
geometric mean of the rounds', its interval 95 % by Student's t.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ratios import ratio_of

sys.path.insert(0, str(Path(__file__).parents[1]))

CROPS = {"small_cnn": 4, "resnet18": 1}  # a track; 40 tracks, 3 s of 128 bands each


def measure(side: str) -> None:
    """Print crops a second of each architecture, and the peak of resident memory."""
    import resource

    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.models import InputShape, build
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training import train as training

    if side == "plain":
        training.keep_freed_memory = lambda: False  # type: ignore[assignment]
    rng = np.random.default_rng(0)
    tracks = [rng.normal(-40, 15, (1292, 128)).astype(np.float16) for _ in range(40)]
    train_set = TrackSet(tracks, np.arange(40) % 10)
    found = {}
    for architecture, crops in CROPS.items():
        model = build(architecture, InputShape(1, 128, 129), n_classes=10)
        config = TrainingConfig(epochs=4, crops_per_track=crops, augment=())
        curves = training.train(
            model, train_set, None, config=config, seed=0, device="cpu"
        ).curves[1:]  # fmt: skip
        found[architecture] = float(np.median([epoch["crops_per_second"] for epoch in curves]))
    found["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def main() -> None:
    """Both sides in turns, and their ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    told: dict[str, list[dict[str, float]]] = {"plain": [], "kept": []}
    for number in range(rounds):
        for side in list(told)[:: 1 if number % 2 else -1]:
            command = [sys.executable, __file__, "--side", side]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            told[side].append(json.loads(out.splitlines()[-1]))
    print(
        f"{rounds} rounds\n\n| | given back | kept | kept / given back |\n| --- | --- | --- | --- |"
    )
    for what in (*CROPS, "peak MB"):
        plain, kept = (np.array([row[what] for row in rows]) for rows in told.values())
        ratio, low, high = ratio_of(kept, plain)
        unit = "" if what == "peak MB" else ", crops/s"
        row = f"{np.median(plain):.0f} | {np.median(kept):.0f}"
        print(f"| {what}{unit} | {row} | {ratio:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        measure(sys.argv[2])
    else:
        main()
