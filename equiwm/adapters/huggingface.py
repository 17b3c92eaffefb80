"""Forward passes with keyword arguments that give an object with named outputs, as Hugging Face's models have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from equiwm.audit.probe import Probe
from equiwm.errors import DataError, nearest
from equiwm.symmetry.group import Group


def forward_probe(
    model: Callable[..., Any],
    inputs: Any,
    group: Group | str,
    takes: Mapping[str, Any],
    gives: Mapping[str, Any],
    **options: Any,
) -> Probe:
    """The probe of a model that is called with keywords.

        >>> probe = forward_probe(model, {"pixel_values": x}, "c4", takes={...}, gives={"logits": "10x0e"})

    Args:
        model: a module or function whose result has its outputs by name: a mapping, a dataclass, an object.
        inputs: arrays by argument (a dict, a `BatchEncoding`), or a list of those.
        group: a group or its name.
        takes: reps by argument.
        gives: reps by the names of outputs.
        options: further arguments of every call, which nothing turns (`output_hidden_states=True`).

    Raises:
        DataError: arguments that the model's forward pass does not take, or inputs that are no mapping.
    """
    samples = inputs if isinstance(inputs, list) else [inputs]
    for sample in samples:
        if not isinstance(sample, Mapping):
            raise DataError(f"inputs: got {type(sample).__name__}, expected arrays by argument, as in a dict.")
    forward = getattr(model, "forward", model)
    known = inspect.signature(forward).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        for name in dict.fromkeys([*(name for sample in samples for name in sample), *options]):
            if name not in known:
                raise DataError(f"the model takes no argument '{name}', {nearest(str(name), known)}")
    twice = [name for name in options if any(name in sample for sample in samples)]
    if twice:
        raise DataError(f"the argument '{twice[0]}' is among the inputs and among the options.")
    plain = [dict(sample) for sample in samples]
    return Probe(
        _Forward(model, options),
        plain if isinstance(inputs, list) else plain[0],
        group,
        takes=dict(takes),
        gives=dict(gives),
        call="**",
    )


class _Forward:
    """A model with its options bound."""

    def __init__(self, model: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.model, self.options = model, dict(options)

    def __call__(self, **inputs: Any) -> Any:
        return self.model(**inputs, **self.options)
