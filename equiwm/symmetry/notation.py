"""The text of representations, `8x0e+16x1o`: reading it, and the names of the kinds in the box.

rep     = term + term + ...           an empty text is the empty rep
term    = MULTIPLICITYxKIND | KIND
KIND    = FACTOR*FACTOR*...           a tensor product
FACTOR  = a name | (rep)              brackets make a sum one factor: perm5*(2x0e+1o)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate

from equiwm.errors import RepError, nearest
from equiwm.printable import quoted
from equiwm.symmetry.composites import DirectSum, TensorProduct
from equiwm.symmetry.exchanges import Items, SignedPermutation
from equiwm.symmetry.horizontal import Horizontal
from equiwm.symmetry.kinds import (
    MASK,
    POINT,
    PSEUDOSCALAR,
    PSEUDOVECTOR,
    SCALAR,
    VECTOR,
    Frequency,
    Irreducible,
    Kind,
    Untouched,
)
from equiwm.symmetry.orientations import Quaternion, RotationMatrix

Terms = tuple[tuple[int, Kind], ...]

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(SCALAR, PSEUDOSCALAR, VECTOR, PSEUDOVECTOR, POINT, Horizontal()),
        *(RotationMatrix(), Quaternion(), Untouched(1), MASK),
    )
}
"""Kinds in the box with a fixed name; the families 2e, m2, perm5, same5, signed[...] go by their numbers."""

_SHORT = {"0": SCALAR, "1": VECTOR, "same": Untouched(1)}
_TERM = re.compile(r"(?:(\d{1,9})x)?(.+)", re.DOTALL)
_FAMILY = re.compile(
    r"(\d{1,3})([eo])|m([1-9]\d{0,3})|perm([1-9]\d{0,5})|same([1-9]\d{0,5})|signed\[(-?\d+(?:,-?\d+)*)\]"
)
MOST_TEXT = 4096
"""Characters of a rep's text."""
MOST_NESTED = 16
"""Brackets within each other."""
MOST_DEGREE = 32
"""Largest degree in space: the matrix of one needs those of all below, and the work grows with its fifth power."""
_EXAMPLES = ("2e", "2o", "3o", "m1", "m2", "perm5", "same5", "signed[2,1]")
_RESERVED = re.compile(r"[\s+*()\[\]]|^\d|^$")


def named_kinds(kinds: Iterable[Kind]) -> dict[str, Kind]:
    """A user's kinds by name.

    Raises:
        RepError: what is no kind, or a name that the text of a rep cannot hold or that the box has.
    """
    found: dict[str, Kind] = {}
    for kind in kinds:
        name = getattr(kind, "name", None)
        if not isinstance(kind, Kind) or not isinstance(name, str):
            raise RepError(f"{quoted(kind)} is no kind: expected an object of a subclass of Kind with a name.")
        if _RESERVED.search(name) or name in KINDS or name in _SHORT or _FAMILY.fullmatch(name):
            raise RepError(
                f"kind '{name}' cannot have this name: it is taken, begins with a digit, or holds + * ( ) [ ]."
            )
        found[name] = kind
    return found


def parse_terms(text: str, own: dict[str, Kind]) -> Terms:
    """The terms of a rep.

    Args:
        text: `8x0e+16x1o`.
        own: the user's kinds by name.

    Raises:
        RepError: a text that is none.
    """
    if not isinstance(text, str):
        raise RepError(f"cannot read rep {quoted(text)}: expected text such as 8x0e+16x1o.")
    if len(text) > MOST_TEXT:
        raise RepError(f"cannot read rep {quoted(text)}: expected at most {MOST_TEXT} characters.")
    text = "".join(text.split())
    if max(accumulate((letter in "([") - (letter in ")]") for letter in text), default=0) > MOST_NESTED:
        raise RepError(f"cannot read rep {quoted(text)}: expected at most {MOST_NESTED} brackets within each other.")
    terms = []
    for part in _split(text, "+") if text else ():
        match = _TERM.fullmatch(part)
        try:
            if match is None:
                raise RepError("it is empty")
            terms.append((int(match[1] or 1), parse_kind(match[2], own)))
        except RepError as error:
            raise RepError(f"cannot read rep {quoted(text)}: {quoted(part)} is not MxKIND: {error}") from None
    return tuple(terms)


def parse_kind(text: str, own: dict[str, Kind]) -> Kind:
    """A kind: a name, a product of names, or a sum in brackets.

    Raises:
        RepError: there is none of that name.
    """
    factors = tuple(_factor(part, own) for part in _split(text, "*"))
    return factors[0] if len(factors) == 1 else TensorProduct(factors)


def _factor(text: str, own: dict[str, Kind]) -> Kind:
    if text.startswith("(") and text.endswith(")") and len(text) > 2:
        return DirectSum(parse_terms(text[1:-1], own))
    known = {**KINDS, **_SHORT, **own}
    if text in known:
        return known[text]
    family = _FAMILY.fullmatch(text)
    if family is None:
        raise RepError(f"no kind {quoted(text)}, {nearest(text, [*known, *_EXAMPLES])}")
    degree, parity, frequency, items, width, images = family.groups()
    if images:
        return SignedPermutation([int(image) for image in images.split(",")])
    if frequency or items or width:
        return Frequency(int(frequency)) if frequency else Items(int(items)) if items else Untouched(int(width))
    if int(degree) < 2 or str(int(degree)) != degree:
        raise RepError(f"no kind '{text}', {nearest(text, known)}")
    if int(degree) > MOST_DEGREE:
        raise RepError(f"no kind '{text}': expected a degree of at most {MOST_DEGREE}")
    return Irreducible(int(degree), parity == "o")


def _split(text: str, separator: str) -> Iterator[str]:
    """Parts between separators that stand outside of brackets."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == separator and depth == 0:
            yield part
            part = ""
        else:
            part += letter
    yield part
