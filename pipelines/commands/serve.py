"""`melgraph serve`: answer queries for similar tracks over HTTP, and show the pages."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import TYPE_CHECKING

from melgraph.pipelines.commands import add_library_argument

if TYPE_CHECKING:
    import socket

    from melgraph.assets.service.state import ServiceSettings

SUMMARY = "Answer queries for similar tracks over HTTP, and serve the pages."
DESCRIPTION = """\
Serve the library over HTTP, read-only: similar tracks (by track, or by an
uploaded file), tracks, tags, sound, and the pages. `/openapi.json` describes
all addresses. A new index is used as soon as it is made. Ctrl-C stops the
service.

It answers on this machine only (127.0.0.1). With another --host it needs a
token, from --token-file or from MELGRAPH_TOKEN: clients send it in the header
`Authorization: Bearer TOKEN`."""
EXAMPLES = """\
examples:
  melgraph serve
  melgraph serve --library ~/Music --port 8080
  melgraph serve --host 0.0.0.0 --name music.example --token-file token.txt
  curl 'http://127.0.0.1:3003/similar?track=rock/song.flac'
  curl -F file=@song.mp3 'http://127.0.0.1:3003/similar?k=5'"""

DEFAULT_PORT = 3003  # `melgraph ui` uses 3000 to 3002
TOKEN = "MELGRAPH_TOKEN"
LEAST_TOKEN = 16  # characters
_BACKLOG = 2048  # connections that the kernel holds until they are accepted
_MOST_FILES = 65_536  # open files and connections, where the system allows so many
_LEAVE_S = 5  # for answers that are being sent when the service stops


def add_arguments(parser: ArgumentParser) -> None:
    """The library, the address, the token and the limits."""
    add_library_argument(parser)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address or name to listen at (default: 127.0.0.1, this machine only); 0.0.0.0 for "
        "all networks of this machine",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help=f"port to listen at (default: {DEFAULT_PORT}); 0 for any free port",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a further host name by which clients call the service (repeatable); the host of "
        "MELGRAPH_PAGES_URL is always one",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="a file that holds the token that clients have to send (default: MELGRAPH_TOKEN)",
    )
    # `--token SECRET` would be taken for an abbreviation of `--token-file SECRET`.
    parser.add_argument("--token", dest="token_on_command_line", help=SUPPRESS)
    limits = parser.add_argument_group("limits")
    for option, default, meaning in (
        ("--max-upload-mb", 50.0, "largest size of an uploaded file, in MB"),
        (
            "--max-query-seconds",
            300.0,
            "seconds of an uploaded file that are used, from its beginning",
        ),
        ("--time-limit", 60.0, "most seconds from a request to its answer"),
    ):
        limits.add_argument(
            option,
            type=float,
            default=default,
            metavar="N",
            help=f"{meaning} (default: {default:g})",
        )
    limits.add_argument(
        "--concurrent",
        type=int,
        metavar="N",
        help="queries that are computed at once (default: the number of cores)",
    )
    limits.add_argument(
        "--waiting",
        type=int,
        default=128,
        metavar="N",
        help="queries that may wait; further ones are refused with the status 503 (default: 128)",
    )


def run(options: Namespace) -> int:
    """Serve a home until Ctrl-C or SIGTERM. Returns 0.

    Raises:
        UserError: an option cannot be used, or the port is in use.
        StorageError: there is no home, or it cannot be read.
    """
    import logging
    import signal
    import threading

    import uvicorn

    from melgraph.assets.service.app import build_app
    from melgraph.assets.service.state import Service
    from melgraph.assets.settings import current_home, use_numba_cache
    from melgraph.ml.specs import load_specs
    from melgraph.storage.home import open_home

    settings = settings_of(options)
    open_home(current_home().root)  # the message if there is none says what to do
    home = current_home().create()
    home.open_library().check()
    load_specs(home.specs)  # reports a mistake in a TOML file now, and not to a client
    use_numba_cache(home)
    listener = listen(options.host, options.port)
    logging.basicConfig(level=logging.WARNING, format="melgraph: %(message)s")
    _allow_many_connections()
    service = Service(home, settings)
    config = uvicorn.Config(
        build_app(home, service=service),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LEAVE_S,
    )
    signal.signal(signal.SIGTERM, _interrupt)  # uvicorn raises the signal again when it has stopped
    token = "clients need the token" if settings.token else "no token needed on this machine"
    print(f"library: {home.library}\nhome:    {home.root}")
    threading.Thread(target=service.warm_up, daemon=True).start()
    try:
        print(f"serving: {_address(options.host, listener)} ({token}); Ctrl-C stops it", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
    print("\nthe service has stopped", flush=True)
    return 0


def settings_of(options: Namespace) -> ServiceSettings:
    """The settings of the service, from the options and MELGRAPH_TOKEN.

    Raises:
        UserError: an option cannot be used, or a token is needed and there is none.
    """
    from melgraph.assets.service.access import is_loopback
    from melgraph.assets.service.state import ServiceSettings
    from melgraph.ml.errors import UserError
    from melgraph.ml.workers import default_workers

    for option, value, least in (
        ("--max-upload-mb", options.max_upload_mb, 0.001),
        ("--max-query-seconds", options.max_query_seconds, 1),
        ("--time-limit", options.time_limit, 0.1),
        ("--concurrent", options.concurrent, 1),
        ("--waiting", options.waiting, 0),
    ):
        if value is not None and not least <= value < float("inf"):
            raise UserError(
                f"{value:g} is too small or too large",
                where=option,
                remedy=f"give a number of at least {least:g}",
            )
    if options.token_on_command_line is not None:
        raise UserError(
            "every user of this machine can read a token on the command line",
            where="--token",
            remedy=f"write it into a file and name that: --token-file FILE, or set {TOKEN}; "
            "and choose another token",
        )
    token = read_token(options.token_file)
    if token is None and not is_loopback(options.host):
        raise UserError(
            f"other machines could reach the service at {options.host}, so it needs a token",
            where="--host",
            remedy=f"write a secret into a file and name it: --token-file FILE, or set {TOKEN}; "
            "or omit --host to serve this machine only",
        )
    names = [name.lower() for name in options.name]
    if not _is_wildcard(options.host):
        names.append(options.host.lower())
    return ServiceSettings(
        hosts=tuple(names),
        token=token,
        most_upload_bytes=round(options.max_upload_mb * 1e6),
        most_query_s=options.max_query_seconds,
        time_limit_s=options.time_limit,
        computed_at_once=options.concurrent or default_workers(),
        waiting=options.waiting,
    )


def read_token(file: str | None) -> str | None:
    """The token from a file, or from MELGRAPH_TOKEN, which is then removed from the environment.

    Child processes do not get the token. No message contains it.

    Raises:
        UserError: the file cannot be read, or the token is too short or not printable ASCII.
    """
    import os
    from pathlib import Path

    from melgraph.ml.errors import UserError

    text = os.environ.pop(TOKEN, None)
    where = TOKEN
    if file is not None:
        where = f"--token-file {file}"
        try:
            text = Path(file).expanduser().read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UserError(
                f"the token cannot be read ({reason})",
                where=where,
                remedy="name a text file that holds the token and nothing else",
            ) from None
    if text is None:
        return None
    token = text.strip()
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"the token is not {LEAST_TOKEN} or more printable ASCII characters without spaces",
            where=where,
            remedy="make one with `python -c 'import secrets; print(secrets.token_urlsafe(32))'`",
        )
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        UserError: the port is in use, or the address is none of this machine.
    """
    import errno
    import os
    import socket

    from melgraph.ml.errors import UserError

    where = f"{host}:{port}"
    if not 0 <= port <= 65_535:
        raise UserError(
            f"{port} is not a port", where="--port", remedy="give a number from 0 to 65535"
        )
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise UserError(
            f"the host is not known ({error.strerror})",
            where=f"--host {host}",
            remedy="give an address of this machine, such as 127.0.0.1 or 0.0.0.0",
        ) from None
    except OSError as error:
        is_in_use = error.errno == errno.EADDRINUSE
        reason = os.strerror(error.errno or 0)
        raise UserError(
            f"port {port} is in use" if is_in_use else f"the service cannot listen here ({reason})",
            where=where,
            remedy="choose another port: --port N; or stop the program that uses it"
            if is_in_use
            else "choose another address or port: --host HOST --port N",
        ) from None


def _address(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_wildcard(host: str) -> bool:
    """Whether a host stands for all addresses of this machine."""
    from ipaddress import ip_address

    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _allow_many_connections() -> None:
    """Raise the soft limit of open files: each connection is one."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
