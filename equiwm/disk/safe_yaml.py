"""YAML that somebody else may have written: keys and values, lists, text, numbers, true, false and null, and no more.

The tree is built from the parser's events and not by PyYAML's constructors: without recursion, so that no nesting
exhausts the stack, and without aliases, of which 1.5 kB expand to more than a machine holds. What YAML reads as a date,
a base-60 number, a set, an object of Python or a number beyond 64 bits is refused under its key.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from equiwm.disk.text import read_text
from equiwm.errors import ConfigError
from equiwm.printable import cut, printable, quoted

MOST_YAML = 2**20
"""Bytes of a YAML file: the largest of our own has 10 kB."""
MOST_DEPTH = 32
"""Lists and mappings within each other; our own have 5."""
LARGEST_INTEGER = 2**63 - 1

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: a folder of 200 runs is read several times faster."""
_TAG = "tag:yaml.org,2002:"
_BOOLEANS = yaml.constructor.SafeConstructor.bool_values
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_WORDS = {"timestamp": "a date", "merge": "a merge of mappings (<<)", "value": "="}
_EXPECTED = "expected text in quotes, a decimal number, true, false or null"


def read_yaml(path: Path, *, inside: Path | None = None) -> dict[str, Any]:
    """The mapping in a YAML file.

    Args:
        path: the file.
        inside: a folder that symbolic links must not lead out of, as `equiwm.disk.text.read_bytes` has it.

    Raises:
        ConfigError: the file is missing, no regular file, too large, not UTF-8 or not YAML, holds what is none of the
            values above (the message names the key), or does not hold keys and values.
    """
    data = parse_yaml(read_text(path, most=MOST_YAML, inside=inside, error=ConfigError), str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"cannot read {path}: expected sections with keys and values.")
    return data


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML document; null of an empty one.

    Args:
        text: the document.
        where: what it is, for messages.

    Raises:
        ConfigError: it is not YAML, or holds more than plain values.
    """
    tree = _Tree(where)
    try:
        text.encode()
    except UnicodeEncodeError:  # from a command line that is not UTF-8
        raise ConfigError(f"cannot read {where} as YAML: it is not UTF-8.") from None
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            tree.take(event)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f"line {place.line + 1}: " if place is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
        raise ConfigError(f"cannot read {where} as YAML: {line}{printable(str(problem))}.") from None
    return tree.value


class _Tree:
    """The value of a document, from the parser's events."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.value: Any = None
        self.documents = 0
        self._open: list[tuple[Any, Any]] = []
        """Lists and mappings that are not complete, each with the key that the next value goes under."""
        self._names: list[str] = []
        """Where each of them stands in the one around it."""
        self._resolver = yaml.resolver.Resolver()

    def take(self, event: yaml.Event) -> None:
        """The next event.

        Raises:
            ConfigError: it is more than a plain value.
        """
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise ConfigError(f"cannot read {self.where}: it holds several documents (---), expected one.")
        elif isinstance(event, yaml.AliasEvent):
            raise self._refused(
                f"got the alias *{cut(str(event.anchor), 20)}; aliases are not read, write the value out"
            )
        elif isinstance(event, yaml.NodeEvent):
            if event.anchor is not None:
                raise self._refused(f"got the anchor &{cut(str(event.anchor), 20)}; no aliases: write the values out")
            if (tag := getattr(event, "tag", None)) is not None:
                raise self._refused(f"got a value tagged {quoted(tag)}; tags are not read, write the plain value")
            if isinstance(event, yaml.ScalarEvent):
                self._add(self._name(event) if self._at_key else self._scalar(event))
            else:
                self._begin({} if isinstance(event, yaml.MappingStartEvent) else [])
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._names.pop()

    def _begin(self, container: Any) -> None:
        if len(self._open) >= MOST_DEPTH:
            raise self._refused(f"it is nested more than {MOST_DEPTH} deep")
        self._names.append(self._place())
        self._add(container)
        self._open.append((container, _NO_KEY))

    def _add(self, value: Any) -> None:
        if not self._open:
            self.value = value
            return
        container, key = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        elif key is not _NO_KEY:
            container[key] = value
            self._open[-1] = (container, _NO_KEY)
        else:
            if not isinstance(value, str):
                raise self._refused("got a list or a mapping as a key; keys are names")
            if value in container:
                raise self._refused(f"the key {quoted(value)} stands there twice")
            self._open[-1] = (container, value)

    @property
    def _at_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], dict) and self._open[-1][1] is _NO_KEY

    def _tag(self, event: yaml.ScalarEvent) -> str:
        """What YAML reads a scalar as: `str` where it stands in quotes."""
        if not event.implicit[0]:
            return "str"
        return str(self._resolver.resolve(yaml.ScalarNode, event.value, (True, False))).removeprefix(_TAG)

    def _name(self, event: yaml.ScalarEvent) -> str:
        if self._tag(event) != "str":
            raise self._refused(f"got the key {cut(event.value, 40)}; keys are names, in quotes where YAML reads more")
        return str(event.value)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text, tag = event.value, self._tag(event)
        if tag == "str":
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return _BOOLEANS[text.lower()]
        if tag == "int" and _INTEGER.fullmatch(text):
            digits = text.replace("_", "")
            if len(digits) > 20 or not -LARGEST_INTEGER - 1 <= int(digits) <= LARGEST_INTEGER:
                raise self._refused(f"got {cut(text, 40)}, expected an integer of at most 64 bits")
            return int(digits)
        if tag == "float" and ":" not in text and math.isfinite(number := _float(text)):
            return number
        if tag == "float":
            raise self._refused(f"got {cut(text, 40)}, expected a finite decimal number, or text in quotes")
        kind = _WORDS.get(tag, "a number that is not decimal")
        raise self._refused(f"got {cut(text, 40)}, which YAML reads as {kind}; {_EXPECTED}")

    def _refused(self, why: str) -> ConfigError:
        keys = ".".join(filter(None, (*self._names, self._place())))
        return ConfigError(f"cannot read {self.where}: {f'{cut(keys, 80)}: ' if keys else ''}{why}.")

    def _place(self) -> str:
        """The key or the index of the next value; empty where it has none."""
        container, key = self._open[-1] if self._open else (None, _NO_KEY)
        return str(len(container)) if isinstance(container, list) else "" if key is _NO_KEY else str(key)


_NO_KEY = object()


def _float(text: str) -> float:
    """A float as YAML writes it; not finite where it is `.inf`, `.nan` or beyond what a float holds."""
    text = text.replace("_", "").lower()
    return math.nan if text.lstrip("+-") in (".inf", ".nan") else float(text)
