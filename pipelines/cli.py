"""The `melgraph` command: its parser, its commands, and what it does with their errors.

Each command is a module of `pipelines/commands/`. Those modules import their work when they run,
so that `melgraph --help` and `melgraph audit` answer in a fraction of a second.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from melgraph.pipelines.commands import (
    Command,
    audit,
    demo,
    export,
    generate,
    reproduce,
    run,
    serve,
    similar,
    stale,
    tag,
    ui,
    validate,
)
from melgraph.pipelines.terminal import ensure_utf8_paths, printable, safe_output
from melgraph.storage.errors import StorageError

if TYPE_CHECKING:
    from melgraph.ml.errors import UserError

COMMANDS: dict[str, Command] = {
    "demo": demo,
    "run": run,
    "generate": generate,
    "export": export,
    "similar": similar,
    "ui": ui,
    "serve": serve,
    "validate": validate,
    "tag": tag,
    "stale": stale,
    "audit": audit,
    "reproduce": reproduce,
}
USER_MISTAKE, INTERRUPTED = 2, 130
DISK_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
DESCRIPTION = """\
melgraph computes spectrograms, trained models, embeddings, recommendations and
generated sounds from a folder of music. It records how each of them was made."""
EXAMPLES = """\
examples:
  melgraph demo                      try it without music of your own
  melgraph run --library ~/Music     process your own music
  melgraph run --help                explain one command

exit status: 0 success; 1 a step failed, an artifact is stale or not as recorded,
or a file cannot be used; 2 a mistake in the command, a setting or a file. Such a
mistake is explained in one message."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; those of the process when absent.

    Returns:
        The exit status: 0 success, 1 something is wrong, 2 a mistake of the user's.
    """
    if arguments is None:
        ensure_utf8_paths()
    with safe_output():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _set_environment(options)
        status = options.command.run(options)
        sys.stdout.flush()
        return status
    except StorageError as error:
        return _report_mistake(error)
    except BrokenPipeError:  # `melgraph audit ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    except KeyboardInterrupt:
        message = "stopped; finished artifacts are kept, run the same command again to continue"
        print(f"\n{message}", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        remedy = "check the permissions and the free space, or use another folder: --home FOLDER"
        where = error.filename or "the disk"
        return _report_mistake(
            StorageError(error.strerror or str(error), where=where, remedy=remedy)
        )
    except Exception as error:
        from melgraph.ml.errors import UserError

        if isinstance(error, UserError):
            return _report_mistake(error)
        raise


def _report_mistake(error: "StorageError | UserError") -> int:
    what = "\n".join(printable(line) for line in error.what.split("\n"))
    print(f"melgraph: {what}", file=sys.stderr)
    print(f"  where:  {printable(error.where)}", file=sys.stderr)
    print(f"  remedy: {printable(error.remedy)}", file=sys.stderr)
    return USER_MISTAKE


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="melgraph", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=as_written
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=command.EXAMPLES,
            formatter_class=as_written,
        )
        subparser.set_defaults(command=command)
        subparser.add_argument(
            "--home",
            metavar="FOLDER",
            help="folder of all results (default: MELGRAPH_HOME, else .melgraph/home/LIBRARY)",
        )
        command.add_arguments(subparser)
    return parser


def _set_environment(options: argparse.Namespace) -> None:
    """Options win over the environment; from here on, only the environment is read."""
    for option, variable in (
        ("home", "MELGRAPH_HOME"),
        ("library", "MELGRAPH_LIBRARY"),
        ("store", "MELGRAPH_STORE"),
        ("label_level", "MELGRAPH_LABEL_LEVEL"),
    ):
        value = getattr(options, option, None)
        if value is not None:
            is_path = option in ("home", "library") and "://" not in value
            os.environ[variable] = str(Path(value).absolute()) if is_path else value


if __name__ == "__main__":
    sys.exit(main())
