"""`melgraph stale`: list what would be made differently now, and why."""

from argparse import ArgumentParser, Namespace

from melgraph.pipelines.commands import add_library_argument

SUMMARY = "List the results that are stale, and why."
DESCRIPTION = """\
List the results that would be made differently now, with the reasons: other
inputs, other settings, newer code, or an input that is stale itself. The answer
comes from the records of the artifacts. Nothing is made. The exit status is 1
if anything is stale."""
EXAMPLES = """\
examples:
  melgraph stale
  melgraph stale --home ~/music-results"""

IS_STALE = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The library, which names the home."""
    add_library_argument(parser)


def run(options: Namespace) -> int:
    """Print every stale artifact with its reasons. Returns 1 if there are any.

    Raises:
        StorageError: there is no home, or its catalogue was lost.
        UserError: a TOML file cannot be used.
    """
    from melgraph.assets.context import Context
    from melgraph.assets.settings import current_home
    from melgraph.assets.stages import assets
    from melgraph.assets.staleness import stale_artifacts
    from melgraph.assets.ui import progress_bar
    from melgraph.pipelines.intake import is_lost
    from melgraph.storage.errors import StorageError
    from melgraph.storage.home import open_home

    context = Context.open(open_home(current_home().root))
    if is_lost(context.store, context.catalogue):  # else every batch would have lost its files
        raise StorageError(
            "the catalogue of the library was lost, so what is stale cannot be told",
            where=context.home.catalogue,
            remedy="`melgraph run` rebuilds it from the artifacts and decodes nothing again",
        )
    n_artifacts = sum(len(context.store.partitions(stage.name)) for stage in assets())
    with progress_bar(n_artifacts, "artifacts", "comparing") as bar:
        stale = stale_artifacts(context, on_partition=bar.update)
    for one in stale:
        print(f"{one.reference.asset}/{one.reference.partition}")
        print("\n".join(f"  {reason}" for reason in one.reasons))
    if not stale:
        print(f"nothing is stale: {n_artifacts} artifact(s) are what would be made now")
        return 0
    print(
        f"\n{len(stale)} of {n_artifacts} artifact(s) are stale. `melgraph run --refresh` makes "
        "them again, except for experiments and studies that it is not asked for."
    )
    return IS_STALE
