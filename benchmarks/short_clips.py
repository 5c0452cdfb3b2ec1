"""How often a short clip gets the top genre of its whole recording.

    python benchmarks/short_clips.py DATA

DATA is the folder that MELGRAPH_REAL_DATA names, with `library/emotify` and `weights`. Of every
third recording, clips are cut from second 10 on. A clip that is shorter than a segment is repeated,
as `melgraph tag` does. `ml.inference.short_clips` refuses clips below the length that these figures
justify. The floor is the share of recordings that have the most frequent top genre.
"""

import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from melgraph.ml.inference.tagging import load_tagger, strongest, tag_waveforms
from melgraph.ml.representations.analysis import analyse
from melgraph.ml.representations.registry import TRANSFORMS, WAVEFORMS
from melgraph.ml.specs import load_specs

TAGGERS = ("musicnn-jamendo", "fcn-jamendo")
START_S, LENGTHS_S = 10.0, (0.6, 1.0, 3.0, 10.0)


def main() -> None:
    """Print a row for each tagger."""
    data = Path(sys.argv[1])
    paths = sorted((data / "library" / "emotify").rglob("*.mp3"))[::3]
    transform = TRANSFORMS[WAVEFORMS]()
    recordings = [
        analyse(path, {WAVEFORMS: transform}).arrays[WAVEFORMS]["values"]
        for path in tqdm(paths, unit=" tracks")
    ]
    print(f"{len(paths)} recordings of Emotify, clips from second {START_S:g} on\n")
    print(f"| tagger | {' | '.join(f'{s:g} s' for s in LENGTHS_S)} | floor |")
    print("| --- " * (len(LENGTHS_S) + 2) + "|")
    start = round(START_S * transform.sample_rate)
    for name in TAGGERS:
        model, meta = load_tagger(load_specs().taggers[name], data / "weights")

        def genres(samples, model=model, tags=meta["classes"]):
            scores = tag_waveforms(model, samples)
            return [strongest(row, tags, most=1)["genre"][0][0] for row in scores]

        whole = genres(recordings)
        shares = []
        for seconds in LENGTHS_S:
            stop = start + round(seconds * transform.sample_rate)
            clips = genres([samples[start:stop] for samples in recordings])
            shares.append(sum(a == b for a, b in zip(clips, whole, strict=True)) / len(whole))
        floor = max(Counter(whole).values()) / len(whole)
        print(f"| {name} | {' | '.join(f'{share:.0%}' for share in (*shares, floor))} |")


if __name__ == "__main__":
    main()
