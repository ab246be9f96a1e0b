"""Listing: program text for people, highlighted on a terminal and as it is on a pipe.

Programs are written by models, so what could steer a terminal is shown as an escape. Text on
a pipe is not changed at all: it may be meant for a file.
"""

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text


def printable(text: str) -> str:
    """The text with control characters, line ends and tabs apart, written as escapes."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape", "replace").decode()
        for c in text.replace("\r\n", "\n")
    )


def highlighted(code: str) -> Text:
    """A program as coloured text, a line of it a line of the text."""
    shown = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(
        printable(code)
    )
    shown.rstrip()
    return shown


def print_code(console: Console, code: str) -> None:
    """Print a program, ending with a line end."""
    if console.is_terminal:
        console.print(highlighted(code), soft_wrap=True)
        return
    text = code if code.endswith("\n") else f"{code}\n"
    console.file.write(text.encode("utf-8", "replace").decode("utf-8"))
