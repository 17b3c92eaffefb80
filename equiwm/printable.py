"""Text that somebody else may have written, made fit to be shown.

A name, a label or a path can hold characters that move the cursor of a terminal, change its colours, turn the order of
what follows, or cannot be seen. They are shown as escapes (`\\x1b`, `\\u202e`). This is done where text leaves the
package: in every error (`equiwm.errors`), every table (`equiwm.tables.table`), every page and every CSV.
"""

from __future__ import annotations

import re
import reprlib

MOST_QUOTED = 60
"""Characters of an input that a message repeats."""
MOST_MESSAGE = 4000
"""Characters of a whole message; a resume command with many settings still fits."""

_SHOWN_AS_NOTHING = re.compile(
    "[\N{COMBINING GRAPHEME JOINER}\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
"""Letters and marks that Unicode has displayed as nothing; `str.isprintable` takes them for printable."""
_SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Spaces of other widths: `str.isprintable` takes them for unprintable, and they do no harm."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """`text` with every character that is no visible one as its escape; line breaks stay."""
    if text.isascii() and text.isprintable():  # nearly always, and much faster
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\n" or character in _SPACES:
        return character
    if character.isprintable() and not _SHOWN_AS_NOTHING.match(character):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Short(reprlib.Repr):
    """`repr` that walks over no more of a value than is shown of it."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = 2 * MOST_QUOTED
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxdeque = 12

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to print integers of some thousand digits, and takes long to print those below.
        digits = int(value.bit_length() * 0.30103) + 1
        return repr(value) if digits <= 2 * MOST_QUOTED else f"an integer of about {digits} digits"

    def repr_str(self, value: str, level: int) -> str:
        return printable(repr(value if len(value) <= self.maxstring else value[: self.maxstring]))


def quoted(value: object, most: int = MOST_QUOTED) -> str:
    """A value as a message repeats it: as Python writes it, in one line, cut to `most` characters."""
    shown = printable(_Short().repr(value)).replace("\n", " ")
    return cut(shown, most)


def cut(text: str, most: int) -> str:
    """`text`, of a long one the beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def message(text: str) -> str:
    """A message as it is shown: printable, and of a very long one the beginning."""
    return cut(printable(cut(text, MOST_MESSAGE)), MOST_MESSAGE)


def formula_safe(text: str) -> str:
    """A cell of a CSV: printable, and with an apostrophe before what a spreadsheet would take for a formula.

    A number in text (`-90`, `+1e-3`) is left as it is.
    """
    if text.startswith(_FORMULA) and not _is_number(text):
        text = f"'{text}"
    return printable(text)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.ASCII | re.IGNORECASE) is not None


def check_component(name: str) -> str | None:
    """Why `name` is no name of a file within a folder, one printable component without a leading dot; None if it is."""
    if not name or name.startswith(".") or any(character in name for character in "/\\\n"):
        return "expected a single name, without '/', '\\' and a leading dot"
    if printable(name) != name or len(name.encode()) > 200:
        return "expected at most 200 bytes of printable characters"
    return None
