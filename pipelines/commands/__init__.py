"""The commands of `melgraph`, one module each: its help, its arguments and its work.

`melgraph --help` imports all of them, so none imports anything heavy at its top.
"""

from argparse import ArgumentParser, Namespace
from typing import Protocol


class Command(Protocol):
    """What each module of this package provides."""

    SUMMARY: str
    """One sentence: the command's line in `melgraph --help`."""
    DESCRIPTION: str
    """What the command does, as `melgraph COMMAND --help` prints it above the options."""
    EXAMPLES: str
    """Example command lines, printed below the options."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments; `--home` is there already."""

    def run(self, options: Namespace) -> int:
        """Do the work. Returns the exit status: 0 for success, 1 if something is wrong.

        Raises:
            UserError, StorageError: a mistake that the user can correct. The exit status is 2.
        """


def add_library_argument(parser: ArgumentParser) -> None:
    """`--library`, which several commands take."""
    parser.add_argument(
        "--library",
        help="folder of audio, or s3://BUCKET/PREFIX "
        "(default: MELGRAPH_LIBRARY, else the library of the home)",
    )
