"""Picture docs/figures/terminal.svg: the screen of a terminal while the quick start trains.

`make figures` runs it. It starts the command in a terminal of its own and copies the screen once
`RUNS` runs are done.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import sys
import tempfile
import termios
import time
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS, ROWS = 100, 16
RUNS, SETTLE = 7, 6.0
"""Runs after which the screen is copied, and seconds to wait then."""
SHOWN = "eibench run suites/quickstart.yaml --jobs 2"
FILE = Path(__file__).parent / "figures" / "terminal.svg"
SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>eibench while the quick start trains</title>
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; white-space: pre; }}
{styles}
</style>
<defs>{lines}</defs>
<rect fill="#0d1117" width="100%" height="100%" rx="8"/>
<g transform="translate(16, 22)" class="{unique_id}-matrix">{backgrounds}{matrix}</g>
</svg>
"""


def screen_of(command: list[str]) -> pyte.Screen:
    """Run `command` in a terminal, and return its screen once `RUNS` runs are done."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, {**os.environ, "TERM": "xterm-256color"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    until = None
    while until is None or time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            stream.feed(os.read(terminal, 1 << 16))
        if until is None and re.search(rf"^\[ ?{RUNS}/", "\n".join(screen.display), re.MULTILINE):
            until = time.monotonic() + SETTLE
    os.kill(child, signal.SIGINT)
    os.waitpid(child, 0)
    return screen


def line(row: dict[int, pyte.screens.Char]) -> Text:
    """Return a row of the screen with its colours."""
    text = Text()
    cells = [row[column] for column in range(COLUMNS)]
    for (colour, bold), run in groupby(cells, lambda cell: (cell.fg, cell.bold)):
        style = Style(color=None if colour == "default" else named(colour), bold=bold)
        text.append("".join(cell.data for cell in run), style)
    text.rstrip()
    return text


def named(colour: str) -> str:
    """Return a colour of pyte's by rich's name."""
    known = {"brown": "yellow", "brightblack": "bright_black"}
    is_hex = re.fullmatch("[0-9a-f]{6}", colour)
    return f"#{colour}" if is_hex else known.get(colour, colour.replace("bright", "bright_"))


def main() -> None:
    """Draw and save the picture."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", *shlex.split(SHOWN), "--results", folder]
        screen = screen_of(command)
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(f"[bold green]$[/] {SHOWN}")
    for row in range(ROWS):
        if screen.display[row].strip():
            console.print(line(screen.buffer[row]), no_wrap=True, crop=True)
    text = console.export_svg(theme=MONOKAI, code_format=SVG, unique_id="terminal")
    FILE.write_text(text)


if __name__ == "__main__":
    main()
