"""Tracks a second that each encoder embeds, beside bare forward passes of the same network.

    python benchmarks/embedding.py HOME [TRACKS] [ROUNDS]

HOME has encoders in service and their representations. All sides process the same segments of the
same number of tracks, in batches of the same size, in turns within each round. Ours goes from the
memory-mapped store to one vector per track. The bare loop has float32 tensors of the network's
input in memory. If that input is a mel spectrogram, a second loop starts from waveforms in memory
(noise of the tracks' lengths) and computes it. The 95 % confidence interval of the ratio is over
the rounds, by Student's t on its logarithm.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
from ratios import ratio_of


def main() -> None:
    home, *rest = sys.argv[1:]
    tracks, rounds = [*map(int, rest), 8, 5][:2] if len(rest) != 1 else (int(rest[0]), 5)
    os.environ["MELGRAPH_HOME"] = str(Path(home).resolve())
    import torch

    from melgraph.assets.context import Context
    from melgraph.assets.embeddings.encoder import Encoder
    from melgraph.assets.embeddings.encoders import in_service
    from melgraph.assets.embeddings.encoding import BATCH_S, embed
    from melgraph.assets.library.inputs import TrackInputs
    from melgraph.assets.models.trained_model import device
    from melgraph.assets.settings import current_home
    from melgraph.assets.stages import MEL_SPECTROGRAMS
    from melgraph.ml.inference.tracks import crop_batch, segment_starts
    from melgraph.ml.spectral import log_mel, stft

    context, on = Context.open(current_home()), device()
    store = context.store
    print(f"{tracks} tracks, {rounds} rounds, {torch.get_num_threads()} threads, {on}\n")
    print("| encoder | tracks/s | relative to a loop over its input ", end="")
    print("| relative to a loop over waveforms |")
    print("| --- | --- | --- | --- |")
    for name in in_service(context):
        encoder = Encoder.current(store, name)
        model = encoder.network()
        if model is None:
            continue
        how, config = encoder.input, encoder.spec.config
        batch = store.partitions(how.representation)[0]
        reader = TrackInputs([store.need(how.representation, batch)], how)
        ids = reader.track_ids(batch)[:tracks]
        views = reader.tracks([batch] * len(ids), ids)
        frames, size = model.shape.frames, max(1, int(BATCH_S[on] / how.crop_s))
        pairs = [
            (track, start)
            for track, view in enumerate(views)
            for start in segment_starts(len(view), crop_frames=frames, least_new=0.5)
        ]
        at = np.array(pairs)
        batches = [
            crop_batch(views, *at[i : i + size].T, crop_frames=frames).contiguous().to(on).float()
            for i in range(0, len(at), size)
        ]
        model.eval()

        def bare(model=model, batches=batches) -> None:
            with torch.inference_mode():
                for x in batches:
                    model.embed(x).cpu()

        def ours(model=model, views=views, config=config, crop_s=how.crop_s) -> None:
            embed(model, views, config, crop_s)

        sides = {"bare": bare, "ours": ours}
        if how.representation == MEL_SPECTROGRAMS.name:
            transform = reader.transform
            waveforms = [
                np.random.default_rng(0).normal(0, 0.1, len(view) * transform.hop) for view in views
            ]

            def from_waveforms(bare=bare, waveforms=waveforms, transform=transform) -> None:
                for mono in waveforms:
                    sound = mono.astype(np.float32)
                    log_mel(stft(sound, n_fft=transform.n_fft, hop=transform.hop), transform)
                bare()

            sides["waveforms"] = from_waveforms
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for run in sides.values():
            run()  # warm up threads, caches and pages
        for turn in range(rounds):
            for side, run in sides.items() if turn % 2 else reversed(sides.items()):
                began = time.perf_counter()
                run()
                seconds[side].append(time.perf_counter() - began)
        rate = len(ids) / np.median(seconds["ours"])
        ratios = [spell(seconds[side], seconds["ours"]) for side in sides if side != "ours"]
        print(f"| {name} | {rate:.2f} | {' | '.join([*ratios, 'the same'][:2])} |", flush=True)


def spell(other: list[float], ours: list[float]) -> str:
    """The ratio of our rate to another's, with its confidence interval."""
    ratio, low, high = ratio_of(other, ours)  # of seconds, so other / ours
    return f"{ratio:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
