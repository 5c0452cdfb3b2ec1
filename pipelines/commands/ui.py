"""`melgraph ui`: serve Dagster, MLflow and the pages."""

from argparse import ArgumentParser, Namespace

from melgraph.pipelines.commands import add_library_argument

SUMMARY = "Serve Dagster, MLflow and the pages on this machine."
DESCRIPTION = """\
Start Dagster, MLflow and the service of the pages, and print their addresses.
They answer on this machine only (127.0.0.1). Ctrl-C stops all three.
The service of the pages also answers queries, see `melgraph serve --help`."""
EXAMPLES = """\
examples:
  melgraph ui
  melgraph ui --library ~/Music --port 4000"""


def add_arguments(parser: ArgumentParser) -> None:
    """The library and the first port."""
    add_library_argument(parser)
    parser.add_argument(
        "--port",
        type=int,
        default=3000,
        help="port of Dagster (default: 3000); the pages and MLflow use the next free ports",
    )


def run(options: Namespace) -> int:
    """Serve until Ctrl-C. Returns 1 if a server did not start or stopped by itself.

    Raises:
        StorageError: the library or the home cannot be used.
    """
    from melgraph.pipelines.servers import serve

    return serve(options.port)
