"""The gain of `ml.memory.keep_freed_memory`: training on a CPU with it and without it.

    python benchmarks/heap.py [ROUNDS]

Each side is a process of its own, in turns, because a process cannot undo the setting. The ratio is
the geometric mean over the rounds, with a 95 % confidence interval by Student's t.
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
    """Train each architecture; print crops a second and the peak of resident memory."""
    import resource

    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.memory import keep_freed_memory
    from melgraph.ml.models import InputShape, build
    from melgraph.ml.specs.training import TrainingConfig
    from melgraph.ml.training.setup import TrainingSetup
    from melgraph.ml.training.train import train

    if side == "kept":
        keep_freed_memory()
    rng = np.random.default_rng(0)
    tracks = [rng.normal(-40, 15, (1292, 128)).astype(np.float16) for _ in range(40)]
    train_set = TrackSet(tracks, np.arange(40) % 10)
    figures = {}
    for architecture, crops in CROPS.items():
        model = build(architecture, InputShape(1, 128, 129), n_classes=10)
        config = TrainingConfig(epochs=4, crops_per_track=crops, augment=())
        curves = train(model, TrainingSetup(train_set, config, seed=0)).curves[1:]
        figures[architecture] = float(np.median([epoch["crops_per_second"] for epoch in curves]))
    figures["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def main() -> None:
    """Run both sides in turns and print their ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    rounds_by_side: dict[str, list[dict[str, float]]] = {"plain": [], "kept": []}
    for number in range(rounds):
        for side in list(rounds_by_side)[:: 1 if number % 2 else -1]:
            command = [sys.executable, __file__, "--side", side]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rounds_by_side[side].append(json.loads(out.splitlines()[-1]))
    print(f"{rounds} rounds\n\n| | returned to the system | kept | kept / returned |")
    print("| --- | --- | --- | --- |")
    for what in (*CROPS, "peak MB"):
        plain, kept = (np.array([row[what] for row in rows]) for rows in rounds_by_side.values())
        ratio, low, high = ratio_of(kept, plain)
        unit = "" if what == "peak MB" else ", crops/s"
        row = f"{np.median(plain):.0f} | {np.median(kept):.0f}"
        print(f"| {what}{unit} | {row} | {ratio:.2f} ({low:.2f} to {high:.2f}) |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        measure(sys.argv[2])
    else:
        main()
