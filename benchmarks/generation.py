"""Seconds per sound and peak memory of each generation recipe of a home, on this machine.

    python benchmarks/generation.py HOME [RECIPE ...] [--threads 2]

Each recipe generates the sound of its first source in a process of its own, in a temporary folder.
The home does not change. A recipe whose network or guide does not exist is listed with the reason.
Memory is the largest resident memory of the process, libraries included; the row "no recipe" is a
process that only loads torch and opens the home. The seconds are those of one sound with everything
that belongs to it: decoding, the method, the way back to audio, pictures, files.

The second table is that of the generative models of the home: seconds and peak memory of their
trainings as the records have them, so of the machine and the load under which they were trained.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

NOTHING = "no recipe"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("recipes", nargs="*", help="default: all recipes of the home")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.home, options.recipes[0], options.threads)))
        return
    from melgraph.ml.specs import load_specs

    names = options.recipes or sorted(load_specs(options.home / "specs").recipes)
    print(f"{options.threads} threads\n")
    print("| recipe | seconds of audio | seconds per sound | peak memory, GB |\n|---|---|---|---|")
    for name in (NOTHING, *names):
        print(row(name, run_child(options.home, name, options.threads)), flush=True)
    print_trainings(options.home)


def print_trainings(root: Path) -> None:
    """The table of the generative models of a home; nothing if there are none."""
    from melgraph.assets.generation.models.generative_model import GenerativeModel
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.home import open_home

    models = GenerativeModel.all_current(ArtifactStore(open_home(root)))
    if not models:
        return
    print("\n| generative model | parameters | recordings | epochs | minutes | peak memory, GB |")
    print("|---|---|---|---|---|---|")
    for model in models:
        run, facts = model.artifact.record.run, model.facts
        minutes = float(run["seconds"] or 0) / 60
        memory = float(run["peak_memory_bytes"] or 0) / 1e9
        print(
            f"| {model.name} | {facts['parameters']:,} | {model.recordings.height} | "
            f"{facts['epochs']} | {minutes:.1f} | {memory:.2f} |"
        )


def run_child(home: Path, recipe: str, threads: int) -> dict:
    """What a process of its own measures."""
    arguments = [str(home), recipe, "--child", "--threads", str(threads)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"problem": done.stderr.strip().splitlines()[-1]}
    measured: dict = json.loads(done.stdout.splitlines()[-1])
    return measured


def row(name: str, measured: dict) -> str:
    """A row of the table."""
    if "problem" in measured:
        return f"| {name} | {measured['problem']} | | |"
    seconds = "" if name == NOTHING else f"{measured['seconds']:.1f}"
    audio = "" if name == NOTHING else f"{measured['audio']:.0f}"
    return f"| {name} | {audio} | {seconds} | {measured['bytes'] / 1e9:.2f} |"


def measure(root: Path, recipe: str, threads: int) -> dict:
    """Generate the first sound of a recipe."""
    import torch

    from melgraph.assets.context import Context
    from melgraph.assets.stages import GENERATORS
    from melgraph.ml.errors import UserError
    from melgraph.storage.artifacts import Work
    from melgraph.storage.errors import StorageError
    from melgraph.storage.home import open_home

    torch.set_num_threads(threads)
    context = Context.open(open_home(root))
    if recipe == NOTHING:
        return {"bytes": peak_bytes()}
    method = context.specs.recipes[recipe].method
    (stage,) = (stage for stage in GENERATORS if stage.method == method)
    try:
        spec = stage.plan(context, recipe)
    except (UserError, StorageError) as error:
        return {"problem": error.what}
    paths = list(spec.config.get("paths", ()))[:1]
    config = spec.config | {"tracks": 1} | ({"paths": paths} if paths else {})
    one = stage.spec(recipe, spec.inputs, config, spec.seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(one, Path(folder))
        started = time.perf_counter()
        stage.write(context.store, work)
        seconds = time.perf_counter() - started
        audio = work.facts["sounds"][0]["seconds"]
    return {"seconds": seconds, "audio": audio, "bytes": peak_bytes()}


def peak_bytes() -> int:
    """The largest resident memory of this process so far."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


if __name__ == "__main__":
    main()
