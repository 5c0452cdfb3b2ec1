"""The report on generated sounds of a home, as Markdown.

    python benchmarks/generation_report.py HOME

Make it first: `melgraph run`, or the job `judging`. Every figure is that of the asset
`generation_report`; this program computes nothing.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from melgraph.assets.generation.report.reports import GenerationReport
from melgraph.assets.generation.report.tables import (
    absent_judges,
    judge_rows,
    octave_rows,
    set_rows,
    size_sentence,
    table_rows,
)
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import open_home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="a home with a generation report")
    store = ArtifactStore(open_home(parser.parse_args().home))
    facts = GenerationReport.current(store, "all").facts
    print("## Judges\n")
    print_table(judge_rows(facts))
    for sentence in absent_judges(facts):
        print(f"\n{sentence}")
    for recipe in facts["recipes"]:
        print(f"\n## {recipe['recipe']}\n")
        print(f"{recipe['title']}. {size_sentence(recipe)}\n")
        print(f"{recipe['verdict']}\n")
        print_table(table_rows(recipe))
        print("\nLevel of each octave band minus that of the source, dB:\n")
        print_table(octave_rows(recipe))
        if recipe["sets"]:
            print("\nDistance to real recordings of the target:\n")
            print_table(set_rows(recipe))


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    if not rows:
        print("(none)")
        return
    names = list(rows[0])
    print("| " + " | ".join(names) + " |")
    print("|" + " --- |" * len(names))
    for row in rows:
        print("| " + " | ".join(row[name] for name in names) + " |")


if __name__ == "__main__":
    main()
