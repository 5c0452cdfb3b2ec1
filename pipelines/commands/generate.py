"""`melgraph generate RECIPE`: generate the sounds of a recipe, also from recordings named here."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from melgraph.pipelines.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from melgraph.assets.context import Context
    from melgraph.assets.generation.requested_sounds import Part, Request
    from melgraph.assets.generation.sounds import Sounds
    from melgraph.ml.specs.methods.base import Recipe
    from melgraph.storage.home import Home

SUMMARY = "Generate the sounds of a recipe, also from a recording of your choice."
DESCRIPTION = """\
Generate the sounds of a recipe: of its own tracks, or of a recording that you
name. Without a recipe, list the recipes.

A recording is a file anywhere, the path of a track in the library, or the first
digits of a track id. Sounds of recordings that you name are kept beside the
recipe's own sounds and never replace them. Their excerpts are copied into the
home, so that the sounds can be made again when the recordings are gone. Records,
sounds and pages name a file outside of the library without its folder."""
EXAMPLES = """\
examples:
  melgraph generate
  melgraph generate deep-dream
  melgraph generate deep-dream --source ~/Downloads/song.mp3 --start 60
  melgraph generate deep-dream --source rock/song.flac --seconds 20
  melgraph generate style-transfer-mn04 --source rock/song.flac --guide jazz/other.flac"""

STEP_FAILED = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The recipe, the recordings and the part of them."""
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="name of the recipe; without it, list them"
    )
    parser.add_argument(
        "--source",
        metavar="FILE_OR_TRACK",
        help="generate from this recording, not from the tracks of the recipe",
    )
    parser.add_argument(
        "--guide",
        metavar="FILE_OR_TRACK",
        help="move the sounds towards this recording, not towards the guide of the recipe",
    )
    parser.add_argument(
        "--start",
        type=float,
        metavar="S",
        help="where the excerpt of each source starts, seconds (default: as in the recipe)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="length of each excerpt, seconds, at most 60 (default: as in the recipe)",
    )


def run(options: Namespace) -> int:
    """Generate the sounds, refresh the pages, and print where both are. 1 if a step failed.

    Raises:
        StorageError, UserError: there is no home or no such recipe, its model is not trained, or a
            recording cannot be used. Nothing has been written then.
    """
    from melgraph.assets.context import Context
    from melgraph.assets.settings import use_numba_cache
    from melgraph.ml.specs import choose, load_specs
    from melgraph.pipelines.commands.audit import existing_home

    named = (options.source, options.guide, options.start, options.seconds)
    if options.recipe is None:
        _refuse_options_without_recipe(named)
        _print_recipes(load_specs(_home_to_list().specs).recipes)
        return 0
    home = existing_home()
    context = Context.open(home)
    choose(context.specs.recipes, [options.recipe], kind="recipe", where="melgraph generate")
    use_numba_cache(home)
    print(f"home:    {printable(home.root)}")
    print(f"recipe:  {options.recipe}: {context.specs.recipes[options.recipe].title}", flush=True)
    if all(option is None for option in named):
        return _generate_own(context, options.recipe)
    from melgraph.assets.generation.requested_sounds import Request

    return _generate_requested(Request(context, options.recipe, *named))


def _home_to_list() -> Home:
    """The home whose recipes are listed: that of a request; before the first run, the next one."""
    from melgraph.assets.settings import current_home
    from melgraph.pipelines.commands.audit import existing_home
    from melgraph.storage.errors import StorageError

    try:
        home = existing_home()
    except StorageError:
        return current_home()
    print(f"home: {printable(home.root)}")
    return home


def _refuse_options_without_recipe(options: tuple[object, ...]) -> None:
    from melgraph.ml.errors import UserError

    if any(option is not None for option in options):
        raise UserError(
            "no recipe is named",
            where="melgraph generate",
            remedy="name one before the options; melgraph generate lists them",
        )


def _print_recipes(recipes: Mapping[str, Recipe]) -> None:
    """Print the recipes of the home and their titles."""
    width = max(map(len, recipes), default=0)
    print("recipes (* its sounds are made by `melgraph run`):")
    for name, recipe in sorted(recipes.items()):
        mark = "*" if recipe.by_default and recipe.generative_model is None else " "
        print(f"  {mark} {name:{width}}  {recipe.title}")


def _generate_own(context: Context, name: str) -> int:
    """Run the job of the recipe, as `melgraph run` does."""
    from melgraph.assets.generation.requested_sounds import check_model, generator_of
    from melgraph.assets.generation.sounds import Sounds
    from melgraph.pipelines.runner import FAILED, SKIPPED, run_parts

    check_model(context, name)
    report = run_parts(
        context,
        lambda planner: [
            ("generated sounds", lambda: planner.recipe(name)),
            ("pages", planner.publishing),
        ],
    )
    first = report.outcomes[0]
    if first.status in (FAILED, SKIPPED):
        return STEP_FAILED
    stage = generator_of(context.specs.recipes[name].method)
    sounds = Sounds(context.store, context.store.need(stage.name, name))
    _print_places(context.home, sounds, f"recipe-{name}")
    return STEP_FAILED if report.failed else 0


def _generate_requested(request: Request) -> int:
    """Generate sounds of the named recordings, and refresh the pages."""
    from melgraph.assets.generation.requested_sounds import RequestedSounds, cautions_of
    from melgraph.pipelines.runner import DONE, THERE, noted_interrupts, run_parts

    for line in _described(request.pairs):
        print(line)
    for caution in cautions_of(request.pairs):
        print(f"caution: {printable(caution)}")
    print(f"making:  {request.spec.reference.partition}", flush=True)
    with noted_interrupts() as was_interrupted:
        try:
            artifact, is_new = request.produce()
        except Exception:
            if was_interrupted():  # a library replaced the interrupt by an error of its own
                raise KeyboardInterrupt from None
            raise
    print(f"sounds:  {DONE if is_new else THERE}", flush=True)
    report = run_parts(request.context, lambda planner: [("pages", planner.publishing)])
    sounds = RequestedSounds(request.context.store, artifact)
    _print_places(request.context.home, sounds, f"requested-{sounds.name}")
    return STEP_FAILED if report.failed else 0


def _described(pairs: list[tuple[Part, Part | None]]) -> Iterator[str]:
    """The recordings, and which part of each is used."""
    for source, guide in pairs:
        yield f"source:  {_part(source)}"
        if guide is not None:
            yield f"guide:   {_part(guide)}"


def _part(part: Part) -> str:
    cut = part.cut
    whole = "" if cut.whole_s is None else f" of {_clock(cut.whole_s)}"
    place = "" if part.song.is_outside else " (library)"
    start, end = _clock(cut.start_s), _clock(cut.start_s + cut.seconds)
    return f"{printable(part.song.where)}{place}, {start} to {end}{whole}"


def _clock(seconds: float) -> str:
    """A time for people: `3:07.5`, `2:59:30.0`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def _print_places(home: Home, sounds: Sounds, anchor: str) -> None:
    """Print where the sounds are, how to hear them, and how to audit them."""
    from shlex import quote

    from melgraph.assets.settings import pages_url
    from melgraph.assets.stage import ONE
    from melgraph.assets.stages import PAGES

    for row in sounds.rows:
        print(f"sound:   {printable(sounds.artifact.location)}/{sounds.new_file(row)}")
    pages = sounds.store.current(PAGES.name, ONE)
    if pages is not None:
        print(f"page:    {printable(pages.location)}/sounds.html#{anchor}")
    print(f"         or `melgraph ui`, then {pages_url()}/pages/sounds.html#{anchor}")
    print(f"audit:   melgraph audit {sounds.reference} --home {quote(str(home.root))}")
