"""Does the loader slow training down? Training on mapped crops beside tensors in memory.

    python benchmarks/loader.py [ROUNDS]

Trains the smallest CNN on batches of 32 crops of 3 s with the same loop, in turns: on random crops
of a memory-mapped spectrogram store, and on synthetic batches that are made once. The ratio is the
geometric mean over the rounds, with a 95 % confidence interval by Student's t.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from ratios import ratio_of

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.models import InputShape, build
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.spectral import MelTransform, mel_frequencies
from melgraph.ml.training import loop as training_loop
from melgraph.ml.training import train as training_module
from melgraph.ml.training.setup import TrainingSetup
from melgraph.ml.training.train import train
from melgraph.storage.spectrogram_store import SpectrogramStore, SpectrogramWriter

TRACKS, FRAMES, BANDS, CROP = 200, 1292, 128, 129  # 30 s each
SMALLEST = {"channels": [8, 16, 32], "embedding_dim": 32}
CONFIG = TrainingConfig(epochs=1, crops_per_track=8, augment=())


def write_store(folder: Path) -> SpectrogramStore:
    rng, how = np.random.default_rng(0), MelTransform()
    writer = SpectrogramWriter(
        folder, frequency=mel_frequencies(how), bins=BANDS, attributes=how.attributes(),
        arrays={"values": "float16"}, codec="none",
    )  # fmt: skip
    for number in range(TRACKS):
        writer.append(f"{number:032x}", values=rng.normal(-40, 15, (FRAMES, BANDS)).astype("f2"))
    writer.close()
    return SpectrogramStore(folder)


class Ready(training_loop.TrainingLoop):
    """The same loop with batches that are already in memory."""

    batches: ClassVar[dict[int, torch.Tensor]] = {}

    def _load(self, tracks: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        shape = self.model.shape
        size = (len(tracks), shape.channels, shape.bins, shape.frames)
        if len(tracks) not in self.batches:
            self.batches[len(tracks)] = torch.randn(size) * 15 - 40
        return self.batches[len(tracks)]


def rate(tracks: TrackSet, device: str, loop: type) -> float:
    """Crops a second of one epoch."""
    model = build("small_cnn", InputShape(1, BANDS, CROP), n_classes=10, **SMALLEST)

    training_module.TrainingLoop = loop
    return train(model, TrainingSetup(tracks, CONFIG, seed=0, device=device)).curves[0][
        "crops_per_second"
    ]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "store")
        views = [store.track(track_id) for track_id in store.track_ids]
        tracks = TrackSet(views, np.arange(TRACKS) % 10)
        loops = {"mapped": training_loop.TrainingLoop, "synthetic": Ready}
        rates: dict[str, list[float]] = {name: [] for name in loops}
        for number in range(rounds + 1):  # the first round warms up
            for name, loop in list(loops.items())[:: 1 if number % 2 else -1]:
                crops_per_second = rate(tracks, device, loop)
                if number:
                    rates[name].append(crops_per_second)
    mapped, synthetic = (float(np.median(rates[name])) for name in loops)
    ratio, low, high = ratio_of(rates["mapped"], rates["synthetic"])
    print(f"{device}, {torch.get_num_threads()} threads, {rounds} rounds in turns, "
          f"{time.strftime('%Y-%m-%d')}")  # fmt: skip
    print(f"mapped crops:      {mapped:8.0f} crops/s")
    print(f"synthetic tensors: {synthetic:8.0f} crops/s")
    print(f"ratio:             {ratio:.3f} (95 % confidence interval {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
