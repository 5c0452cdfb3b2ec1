"""`melgraph similar TRACK|FILE...`: the most similar tracks of the library, with the reasons."""

from __future__ import annotations

import json
import math
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from melgraph.pipelines.terminal import exact_output, printable

if TYPE_CHECKING:
    from melgraph.assets.recommendations.queries import (
        Answer,
        Filters,
        Query,
        Recommendation,
        Recommender,
        Seed,
    )
    from melgraph.storage.home import Home

SUMMARY = "Find the tracks of the library that sound like others."
DESCRIPTION = """\
Print the tracks of the library that are most similar to some tracks or files,
and the reasons: the tags that both share, and the seconds that sound most
alike.

A track is a path below the library, or a track id. A file that is not in the
library is decoded and embedded for this query. Detected copies of a recording
are left out."""
EXAMPLES = """\
examples:
  melgraph similar rock/song.flac
  melgraph similar ~/Downloads/song.mp3 --tracks 5 --per-artist 1
  melgraph similar rock/a.flac rock/b.flac --unlike pop/c.flac
  melgraph similar rock/a.flac --genre jazz --year 1960-1979 --tag piano:0.3
  melgraph similar rock/a.flac --minutes 60 --m3u evening.m3u8
  melgraph similar rock/a.flac --to jazz/b.flac --m3u path.m3u8
  melgraph similar rock/a.flac --json"""

DEFAULT_TRACKS = 10
NO_PLAYLIST = 1  # exit status: a playlist was asked for, and no track answers the query
DEFAULT_PROBABILITY = 0.5  # a test compares it with that of the queries
_TRACKS_PER_MINUTE = 2  # a first guess for --minutes; more are asked for if they do not suffice


def add_arguments(parser: ArgumentParser) -> None:
    """What to compare with, which tracks to return, and the form of the answer."""
    parser.add_argument(
        "like", nargs="+", metavar="TRACK_OR_FILE", help="a track or a file to be similar to"
    )
    parser.add_argument(
        "--unlike", action="append", default=[], metavar="TRACK_OR_FILE",
        help="a track or a file not to be similar to (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--to", metavar="TRACK", help="print a path of similar tracks that leads to this track"
    )
    parser.add_argument(
        "--tracks", type=int, metavar="N",
        help=f"number of tracks (default: {DEFAULT_TRACKS}); with --to, of tracks between both",
    )  # fmt: skip
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="a playlist of about M minutes, instead of --tracks",
    )
    parser.add_argument(
        "--encoder", metavar="NAME",
        help="encoder whose embeddings are compared (default: the one in service whose "
        "recommendations agree best with the labels)",
    )  # fmt: skip
    form = parser.add_argument_group("the form of the answer")
    form.add_argument("--json", action="store_true", help="print JSON, for programs")
    form.add_argument("--m3u", metavar="FILE", help="also write the tracks to this M3U playlist")
    _add_filters(parser)


def _add_filters(parser: ArgumentParser) -> None:
    """Which tracks may be in the answer."""
    filters = parser.add_argument_group("which tracks may be in the answer")
    for name in ("genre", "artist"):
        filters.add_argument(
            f"--{name}",
            action="append",
            default=[],
            help=f"only tracks of this {name} (repeatable)",
        )
    filters.add_argument(
        "--year", type=_whole_range, default=(None, None), metavar="FROM-TO",
        help="only tracks of these years, for example 1990-1999, 1990- or 1990",
    )  # fmt: skip
    filters.add_argument(
        "--duration", type=_range, default=(None, None), metavar="FROM-TO",
        help="only tracks of so many seconds, for example 120-300",
    )  # fmt: skip
    filters.add_argument(
        "--tag", action="append", default=[], metavar="NAME[:PROBABILITY]",
        help="only tracks for which this tag is predicted with at least this probability "
        f"(default: {DEFAULT_PROBABILITY}; repeatable)",
    )  # fmt: skip
    filters.add_argument(
        "--per-artist", type=int, metavar="N", help="at most N tracks by one artist"
    )
    filters.add_argument(
        "--one-version", action="store_true",
        help="only one version of each song (studio, live, remix, ...)",
    )  # fmt: skip
    filters.add_argument(
        "--diversity", type=float, default=0.0, metavar="D",
        help="from 0, the most similar tracks, to 1, tracks that differ from each other "
        "(default: 0)",
    )  # fmt: skip


def _range(text: str) -> tuple[float | None, float | None]:
    """`FROM-TO`, of which one end may be missing, or a single number."""
    low, dash, high = text.strip().partition("-")
    try:
        ends = float(low) if low else None, float(high) if high else None
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not FROM-TO, such as 120-300") from None
    numbers = [end for end in ends if end is not None]
    if not numbers or not all(math.isfinite(end) and end >= 0 for end in numbers):
        raise ArgumentTypeError(f"{text!r} is not FROM-TO, such as 120-300")
    if numbers[0] > numbers[-1]:
        raise ArgumentTypeError(f"{text!r} ends before it begins")
    return ends if dash else (ends[0], ends[0])


def _whole_range(text: str) -> tuple[int | None, int | None]:
    low, high = _range(text)
    if any(end is not None and not end.is_integer() for end in (low, high)):
        raise ArgumentTypeError(f"{text!r} has a number that is not whole")
    return None if low is None else int(low), None if high is None else int(high)


def run(options: Namespace) -> int:
    """Print the answer, and write the playlist.

    Raises:
        UserError: an argument names something that does not exist, or contradicts another one.
        StorageError: there is no home, or its index cannot be used.
    """
    from melgraph.assets.context import Context
    from melgraph.assets.recommendations.queries import Recommender
    from melgraph.assets.settings import use_numba_cache
    from melgraph.pipelines.commands.audit import existing_home

    _check(options)
    playlist = None if options.m3u is None else _playlist_file(options.m3u)
    home = existing_home()
    use_numba_cache(home)
    recommender = Recommender.open(Context.open(home), options.encoder)
    if options.to is not None:
        filters = _filters(options)
        answer = recommender.path(options.like[0], options.to, options.tracks, filters)
    elif options.minutes is not None:
        answer = _playlist(recommender, _query(options), options.minutes)
    else:
        answer = recommender.similar(_query(options))
    if playlist is not None and answer.tracks:
        _write_playlist(home, answer, playlist)
    if options.json:
        print(json.dumps(asdict(answer), indent=1, ensure_ascii=False), file=exact_output())
    else:
        _print(answer, is_path=options.to is not None)
        if playlist is not None:
            print(f"\n{_playlist_sentence(home, answer, options.m3u)}")
    return 0 if answer.tracks or playlist is None else NO_PLAYLIST


def _check(options: Namespace) -> None:
    from melgraph.ml.errors import UserError

    problems = []
    if options.to is not None:
        if len(options.like) > 1 or options.unlike:
            problems.append("--to leads from one track to another: name one track and no --unlike")
        unset_values = {"per_artist": None, "one_version": False, "diversity": 0.0, "minutes": None}
        problems += [
            f"--to and --{name.replace('_', '-')} exclude each other"
            for name, unset in unset_values.items()
            if getattr(options, name) != unset
        ]
    if options.tracks is not None and options.minutes is not None:
        problems.append("--tracks and --minutes exclude each other")
    if options.minutes is not None and not 0 < options.minutes < 100_000:
        problems.append(
            f"a playlist of {options.minutes} minutes; --minutes must be above 0 and below 100,000"
        )
    if problems:
        raise UserError("; ".join(problems), where="the arguments", remedy="correct the arguments")


def _filters(options: Namespace) -> Filters:
    from melgraph.assets.recommendations.queries import Filters, tag_filters

    return Filters(
        genres=tuple(options.genre),
        artists=tuple(options.artist),
        year_from=options.year[0],
        year_to=options.year[1],
        duration_from_s=options.duration[0],
        duration_to_s=options.duration[1],
        tags=tag_filters(options.tag),
    )


def _query(options: Namespace) -> Query:
    from melgraph.assets.recommendations.queries import Query

    return Query(
        like=tuple(options.like),
        unlike=tuple(options.unlike),
        k=DEFAULT_TRACKS if options.tracks is None else options.tracks,
        filters=_filters(options),
        per_artist=options.per_artist,
        one_version=options.one_version,
        diversity=options.diversity,
    )


def _playlist(recommender: Recommender, query: Query, minutes: float) -> Answer:
    """The best tracks that together last about so many minutes."""
    from melgraph.assets.recommendations.queries import MOST_TRACKS
    from melgraph.ml.similarity.playlists import fill_duration

    k = min(max(DEFAULT_TRACKS, int(_TRACKS_PER_MINUTE * minutes)), MOST_TRACKS)
    while True:
        answer = recommender.similar(replace(query, k=k))
        durations = [track.duration_s for track in answer.tracks]
        if sum(duration or 0 for duration in durations) >= 60 * minutes:
            break
        if answer.shortfall is not None or k == MOST_TRACKS:
            break
        k = min(4 * k, MOST_TRACKS)
    n = fill_duration(durations, 60 * minutes)
    total = sum(duration or 0 for duration in durations[:n]) / 60
    short = None
    if n == len(durations) and total < minutes:
        why = answer.shortfall or f"a playlist has at most {MOST_TRACKS:,} tracks"
        short = f"{total:.0f} of {minutes:g} minutes: {why}"
    return replace(answer, tracks=answer.tracks[:n], shortfall=short)


def _playlist_file(name: str) -> Path:
    """The file of a playlist, through links.

    Raises:
        UserError: something that is no playlist has this name. It would be lost, be it a song, a
            text or a device.
    """
    from melgraph.ml.errors import UserError

    try:
        file = Path(name).expanduser().resolve()
        is_free = not file.exists()
        if is_free or (file.is_file() and _is_playlist(file)):
            return file
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, an unknown ~user
        problem = f"the playlist cannot be written ({getattr(error, 'strerror', None) or error})"
    else:
        problem = "this is no playlist, and would be overwritten"
    raise UserError(problem, where=f"--m3u {name!r}", remedy="give the name of a new .m3u8 file")


def _playlist_sentence(home: Home, answer: Answer, name: str) -> str:
    """Where the playlist is, and whether its songs are there."""
    from melgraph.storage.location import is_bucket

    if not answer.tracks:
        return f"no playlist was written to {printable(name)}: no track answers the query"
    if not is_bucket(home.library) and not Path(home.library).is_dir():
        return (
            f"playlist: {printable(name)}\n"
            f"caution: the library {home.library} is not there now, so the songs are not either"
        )
    return f"playlist: {printable(name)}"


def _is_playlist(file: Path) -> bool:
    if file.suffix.lower() in (".m3u", ".m3u8"):
        return True
    with file.open("rb") as opened:
        return b"#EXTM3U" in opened.read(16)


def _write_playlist(home: Home, answer: Answer, file: Path) -> None:
    """Write an M3U file aside, and rename it."""
    from melgraph.ml.errors import UserError
    from melgraph.ml.similarity.playlists import PlaylistEntry, m3u8

    entries = [
        PlaylistEntry(f"{home.library}/{track.path}", track.duration_s, track.artist, track.title)
        for track in answer.tracks
    ]
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_text(m3u8(entries), encoding="utf-8", newline="")
        aside.replace(file)
    except OSError as error:
        raise UserError(
            f"the playlist cannot be written ({error.strerror or error})",
            where=str(file),
            remedy="give a file in an existing folder that you may write to",
        ) from None
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _print(answer: Answer, *, is_path: bool) -> None:
    encoder = answer.encoder.split("/")[1]
    seeds = ", ".join(_seed(seed) for seed in answer.like)
    what = "A path between the tracks" if is_path else "Similar to"
    order = "" if is_path else ", in the order of the similarity after local scaling"
    print(f"{what} {printable(seeds)}\nby the embeddings of {encoder}{order}\n")
    for seed in answer.like:
        if seed.caution:
            print(f"  caution: {printable(seed.path)}: {seed.caution}")
    for number, track in enumerate(answer.tracks, start=1):
        name = " - ".join(filter(None, [track.artist, track.title]))
        print(f"{number:>4}  {track.similarity:.3f}  {printable(name or track.path)}")
        if name:
            print(f"             {printable(track.path)}")
        if reason := _reason(answer, track, is_path=is_path):
            print(f"             {reason}")
    if answer.shortfall:
        print(f"\n{answer.shortfall}")
    print(f"\nThe index behind this answer: melgraph audit {answer.index}")


def _seed(seed: Seed) -> str:
    name = " - ".join(filter(None, [seed.artist, seed.title]))
    return f"{seed.path} ({name})" if name else seed.path


def _reason(answer: Answer, track: Recommendation, *, is_path: bool) -> str:
    """Shared tags with the probabilities of both tracks, and the seconds that sound alike."""
    parts = []
    if track.tags:
        names = (tag.tag.rpartition("---")[2] for tag in track.tags)
        shares = (f"({tag.seed:.2f}, {tag.track:.2f})" for tag in track.tags)
        texts = (f"{printable(n)} {share}" for n, share in zip(names, shares, strict=True))
        parts.append(f"both: {', '.join(texts)}")
    for moment in track.moments:
        seed = f" of {printable(answer.like[track.like].path)}" if len(answer.like) > 1 else ""
        seed = " of the track before" if is_path else seed
        parts.append(
            f"{_clock(moment.track_start_s)} sounds like {_clock(moment.seed_start_s)}{seed}"
        )
    return "; ".join(parts)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
