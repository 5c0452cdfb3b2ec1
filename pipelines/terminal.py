"""Output of the commands: any name can be printed, and no name can control the terminal.

A terminal may know ASCII only, and a file name may hold any character: those that move the cursor,
those that change colours, and bytes that are no text at all.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

_LINE_ENDS = "\n\r\t"
_INVISIBLE = [*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F),
              *range(0x2066, 0x206A)]  # fmt: skip  # control characters, and the order of letters


def _escape(code: int) -> str:
    return repr(chr(code))[1:-1]


_ESCAPED = {code: _escape(code) for code in _INVISIBLE}
_ESCAPED_IN_LINES = {code: text for code, text in _ESCAPED.items() if chr(code) not in _LINE_ENDS}


def printable(name: object) -> str:
    r"""A name or a sentence as one line, with control characters escaped.

    >>> print(printable("a\x1b[31m\nb"))
    a\x1b[31m\nb
    """
    return str(name).translate(_ESCAPED)


def ensure_utf8_paths() -> None:
    """Start this program again if Python takes the file system's names for ASCII.

    This happens in the locale `C` where Python's own remedy, its UTF-8 mode, is switched off. No
    file with another name could then be opened. The encoding of the terminal stays as it is.
    """
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8":
        return
    environment = os.environ | {"PYTHONUTF8": "1"}
    environment.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, command, environment)


@contextmanager
def safe_output() -> Iterator[None]:
    """Within this context, writing to stdout cannot fail because of a character.

    Characters that the terminal does not know are written as escapes (`\\xe9`), and so are control
    characters, except ends of lines. stderr keeps its control characters, as progress bars are made
    of them.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # a stream of a test or notebook, or closed
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with redirect_stdout(_Escaping(sys.stdout)):
        yield


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Within this context, Ctrl-C waits for its end.

    For calls of a native library that calls back into Python: there, `KeyboardInterrupt` would be
    printed and lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived = []
    before = signal.signal(signal.SIGINT, lambda *_: arrived.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if arrived:
        raise KeyboardInterrupt


def exact_output() -> Any:
    """stdout for programs: names as they are, as far as its encoding can express them."""
    return sys.stdout.stream if isinstance(sys.stdout, _Escaping) else sys.stdout


class _Escaping:
    """A text stream that escapes control characters, except ends of lines."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text, and return its length."""
        self.stream.write(text.translate(_ESCAPED_IN_LINES))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
