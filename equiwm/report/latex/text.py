"""Text as LaTeX sets it, and how much room it takes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "–": r"\textendash{}",
    "…": r"\ldots{}",
    "°": r"\textdegree{}",
    "×": r"\texttimes{}",
    "²": r"\textsuperscript{2}",
    "−": r"\textminus{}",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}
_NOT_IN_T1 = frozenset("ĦħĸĿŀŉŦŧ")
_CAPITALS = ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega")
"""Greek capitals that look like no Latin letter."""
_LATIN_CAPITALS = {"eta": "H", "rho": "P", "chi": "X"}
_FIGURE = re.compile(r"(?<![\w.])(?:(-?)(\d+(?:\.\d+)?)e([+-]\d+)|-(?=\d))")
_WHOLE = 16
"""Characters to which a word is never broken; a longer one (a path, a setting) is, where it has a sign."""
_BREAK_AFTER = re.compile(r"(?<=[/=,_:.-])(?=[^/=,_:.-])")
_WIDTHS = (
    (295, "!',.:;[]il|"), (325, "fj"), (354, " -"), (383, "I"), (403, '"'), (413, "()t"), (414, "r"), (419, "s"),
    (472, "cez"), (502, "?"), (531, "$*/0123456789\\`ago{}–"), (546, "J"), (556, "^~"), (561, "kqvxy"),
    (590, "Sbdhnpu"), (649, "Z"), (664, "L"), (693, "F"), (723, "EP"), (752, "B"), (767, "CTw"), (782, "R"),
    (796, "AHNUVXY_"), (811, "D"), (825, "K"), (834, "+<=>@OQG−×&"), (885, "#%m"), (973, "M"), (1091, "W"),
)  # fmt: skip
"""Thousandths of the font's size, of Latin Modern Roman at 8 pt; Times and its kin are narrower."""
_WIDTH_OF = {character: width / 1000.0 for width, characters in _WIDTHS for character in characters}
_WIDEST = 1.1
SIZE, RAISED = 8.0, 7.0
"""Points of a table's text, and of exponents in it."""


def escaped(text: str) -> str:
    """Text as LaTeX shows it: special characters escaped, `1.2e-07` as a power of ten, a minus as one.

    It is text throughout, no formula: figures are in the font of whatever document they stand in.
    """
    return " ".join(map(_word, text.split()))


def _word(word: str) -> str:
    pieces = list(_pieces(word))
    if len(pieces) == 1:
        # A hyphen is where LaTeX breaks words; in a box it does not.
        return f"\\mbox{{{_figures(word)}}}" if "-" in word.strip("-") and not _FIGURE.search(word) else _figures(word)
    return r"\allowbreak{}".join(map(_figures, pieces))


def _pieces(word: str) -> Iterator[str]:
    """What is set in one piece of a word without spaces."""
    if len(word) <= _WHOLE or _FIGURE.match(word):
        yield word
    else:
        for part in _BREAK_AFTER.split(word):
            yield from (part[start : start + 2 * _WHOLE] for start in range(0, len(part), 2 * _WHOLE))


def _figures(text: str) -> str:
    parts, last = [], 0
    for match in _FIGURE.finditer(text):
        parts.append(_characters(text[last : match.start()]))
        parts.append(_power(*match.groups()) if match[2] else r"\textminus{}")
        last = match.end()
    return "".join([*parts, _characters(text[last:])])


def _power(sign: str, mantissa: str, exponent: str) -> str:
    lead, raised = (each.replace("-", r"\textminus{}") for each in (sign, str(int(exponent))))
    return f"{lead}{mantissa}\\texttimes{{}}10\\textsuperscript{{{raised}}}"


def _characters(text: str) -> str:
    """Signs that LaTeX would join to others (`--`, a dash) are kept apart."""
    return "".join(map(_character, text)).replace("--", "-{}-").replace("''", "'{}'").replace(",,", ",{},")


def _character(character: str) -> str:
    """What sets it in T1; a Greek letter by its name, and what LaTeX has no glyph for by its number."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character < "\N{LATIN SMALL LETTER LONG S}" and character.isprintable() and character not in _NOT_IN_T1:
        return character
    kind, _, letter = unicodedata.name(character, "").partition(" LETTER ")
    if kind in ("GREEK SMALL", "GREEK CAPITAL") and letter.isalpha():
        name = letter.lower().replace("lamda", "lambda")
        if name == "omicron" or (kind == "GREEK CAPITAL" and name not in _CAPITALS):
            return name[0] if kind == "GREEK SMALL" else _LATIN_CAPITALS.get(name, name[0].upper())
        return f"$\\{name if kind == 'GREEK SMALL' else name.capitalize()}$"
    return f"\\texttt{{U+{ord(character):04X}}}"


def width(text: str) -> float:
    """Points that a line of text takes in a table, at most."""
    total, last = 0.0, 0
    text = " ".join(text.split())
    for match in _FIGURE.finditer(text):
        total += _plain_width(text[last : match.start()])
        if match[2]:
            total += _plain_width(f"{match[1]}{match[2]}×10") + _plain_width(f"−{abs(int(match[3]))}") * RAISED / SIZE
        else:
            total += _plain_width("−")
        last = match.end()
    return total + _plain_width(text[last:])


def _plain_width(text: str) -> float:
    return SIZE * sum(_WIDTH_OF.get(each, _WIDEST if each.isascii() else 7 * 0.55) for each in text)


def longest_piece(text: str) -> float:
    """Points that the widest part of a text takes which is never broken."""
    return max((width(piece) for word in text.split() for piece in _pieces(word)), default=0.0)


def lines(text: str, room: float) -> int:
    """How many lines a text takes in a column of so many points."""
    count, left = 1, room
    for word in text.split():
        for position, piece in enumerate(_pieces(word)):
            space = 0.0 if position or left == room else _plain_width(" ")
            wide = width(piece)
            if left < room and left < wide + space:
                count, left, space = count + 1, room, 0.0
            left -= wide + space
    return count
