"""Nested inputs and outputs of other people's networks: their leaves by path, and copies with other leaves.

A node is a mapping, a list, a tuple, a named tuple, a dataclass, or an object whose attributes hold tensors (graph
data). Everything else is a leaf: tensors and numpy arrays, numbers, text, None, and objects that hold no tensor.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

Path = tuple[str | int, ...]
"""Keys, places and attribute names from the root to a leaf; () is a tree that is one leaf."""


def is_array(value: object) -> bool:
    """Whether a leaf holds numbers in axes."""
    return isinstance(value, Tensor | np.ndarray)


def leaves(tree: object) -> dict[Path, Any]:
    """Every leaf by its path, in the order of the tree."""
    children = _children(tree)
    if children is None:
        return {(): tree}
    return {(key, *path): leaf for key, child in children.items() for path, leaf in leaves(child).items()}


def replaced(tree: Any, new: Mapping[Path, Any]) -> Any:
    """A tree with other leaves at some paths; nothing of the given one is changed, and other leaves are shared.

    Args:
        tree: the tree.
        new: path -> leaf, paths of `leaves(tree)`.
    """
    if () in new:
        return new[()]
    children = _children(tree)
    if children is None or not new:
        return tree
    changed = {
        key: replaced(child, {path[1:]: leaf for path, leaf in new.items() if path[0] == key})
        for key, child in children.items()
    }
    if isinstance(tree, list | tuple):
        parts = list(changed.values())
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    made = copy.copy(tree)
    for key, child in changed.items():
        if isinstance(tree, Mapping):
            made[key] = child
        else:
            (object.__setattr__ if dataclasses.is_dataclass(tree) else setattr)(made, str(key), child)
    return made


def label(path: Path) -> str:
    """A path as a user would write it: `positions`, `graph.pos`, `[0]`; `it` for a tree that is one leaf."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "it"


def _children(tree: object) -> dict[str | int, Any] | None:
    """The children of a node, or None of a leaf."""
    if isinstance(tree, Mapping):
        return {key: tree[key] for key in tree}
    if isinstance(tree, list | tuple):
        return dict(zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True))
    if tree is None or isinstance(tree, type | str | bytes | int | float | complex | nn.Module) or is_array(tree):
        return None
    if dataclasses.is_dataclass(tree):
        return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
    attributes = _attributes(tree)
    return attributes if any(is_array(value) for value in attributes.values()) else None


def _attributes(value: Any) -> dict[str | int, Any]:
    """What an object holds by name: graph data by its keys, any other by its own attributes."""
    to_dict = getattr(value, "to_dict", None)
    if callable(to_dict) and hasattr(value, "keys"):
        return dict(to_dict())
    return dict(vars(value)) if hasattr(value, "__dict__") else {}
