"""What people see: values that can be read."""

import os
import pty
import sys
from contextlib import suppress

from melgraph.assets.ui import markdown_table


def test_a_table_holds_names_as_they_are():
    rows = [
        {"path": "a|b/*c* <i>_d_ [x](y)\n~.flac", "artist": None, "seconds": 1 / 3},
        {"path": "plain.flac", "artist": "Trio", "seconds": 4.0},
    ]
    header, rule, first, second = markdown_table(rows).value.splitlines()
    assert header == "| path | artist | seconds |"
    assert rule == "| --- | --- | --- |"
    assert first == r"| a\|b/\*c\* \<i\>\_d\_ \[x\](y) \~.flac | - | 0.3333 |"
    assert second == "| plain.flac | Trio | 4.0 |"


def test_a_table_of_nothing_says_so():
    assert markdown_table([]).value == "(none)"


def test_bars_reach_the_terminal_although_stderr_is_a_file():
    """Dagster writes the stderr of a step into a log file."""
    program = (
        "import os\n"
        "from melgraph.assets.ui import progress_bar, progress_on_terminal\n"
        "with progress_on_terminal():\n"
        "    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n"
        "    with progress_bar(3, 'sounds', 'work') as bar:\n"
        "        bar.update()\n"
    )
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])
    output = b""
    with suppress(OSError):  # the end of a terminal
        while data := os.read(terminal, 1000):
            output += data
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert b"work:" in output
    assert b"0/3" in output
