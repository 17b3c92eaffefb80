"""The model of a probe as a function of turned and moved samples, in a dtype of ours."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.calling import cast, in_dtype, own_tensors, spread, tensors_as_found
from equiwm.audit.probe import Probe
from equiwm.audit.promoted import InFloat64
from equiwm.audit.pytree import Path, is_array, label, leaves, replaced
from equiwm.audit.typed import TypedLeaf
from equiwm.boundary import machine_error
from equiwm.errors import DataError
from equiwm.symmetry.elements import Elements

Outputs = list[dict[Path, Tensor]]
"""For each sample the output leaves, flat (*lead, dim), float64 on the CPU."""


class CallFailed(Exception):
    """The model raised; the message is its own, in one line."""


@dataclass
class Runner:
    """A probe's model, called one sample at a time on copies.

    Attributes:
        probe: the probe.
        grad: whether gradients are on while it is called.
        seed: a seed for torch's generator before every call; None leaves it to run on.
        restore: whether parameters and buffers are put back after every call.
        promote: whether every operation is promoted to float64 where it is called in float64 (`promoted.InFloat64`).
        finite: whether outputs that are not finite are refused.
        device: where the model and its inputs are put for a call; None leaves them where they are.
        as_it_is: the dtype of inputs at which the model keeps its own: it takes them, and not with its weights cast.
        outputs: the typed output leaves, known after the first call.
    """

    probe: Probe
    grad: bool = False
    seed: int | None = None
    restore: bool = False
    promote: bool = False
    finite: bool = True
    device: torch.device | None = None
    as_it_is: torch.dtype | None = None
    outputs: tuple[TypedLeaf, ...] = ()

    @cached_property
    def inputs(self) -> list[TypedLeaf]:
        """The typed leaves of every sample."""
        return self.probe.typed_inputs(self.probe.samples[0])

    def raw(self, sample: Any, dtype: torch.dtype) -> Any:
        """What the model gives for a copy of one sample, in `dtype`.

        A calculator takes float64 positions and computes in the float32 of its weights: with weights that are cast it
        raises. Such a model is called as it is at the dtype that its inputs were given in.

        Raises:
            CallFailed: the model raised.
        """
        try:
            return self.on(cast(sample, dtype, self.device), dtype)
        except CallFailed as error:
            if self.as_it_is is not None or not self._cast_from_own(sample, dtype):
                raise
            self.as_it_is = dtype
            try:
                return self.on(cast(sample, dtype, self.device), dtype)
            except CallFailed:
                self.as_it_is = None
                raise error from None

    def _cast_from_own(self, sample: Any, dtype: torch.dtype) -> bool:
        """Whether it is the inputs' own dtype, and the weights have another one."""
        there = leaves(sample)
        own = {tensor.dtype for tensor in own_tensors(self.probe.modules).values() if tensor.is_floating_point()}
        return bool(own - {dtype}) and all(torch.as_tensor(there[leaf.path]).dtype == dtype for leaf in self.inputs)

    def on(self, sample: Any, dtype: torch.dtype) -> Any:
        """What the model gives for the sample itself, which it may change.

        Raises:
            CallFailed: the model raised.
        """
        probe = self.probe
        if self.seed is not None:
            torch.manual_seed(self.seed)
        kept = tensors_as_found(probe.modules) if self.restore else nullcontext()
        promoted = InFloat64(sample) if self.promote and dtype == torch.float64 else nullcontext()
        kept_dtype = None if dtype == self.as_it_is else dtype
        with kept, in_dtype(probe.modules, kept_dtype, self.device), torch.set_grad_enabled(self.grad):
            try:
                with promoted:
                    return spread(probe.model, sample, probe.call)
            except (KeyboardInterrupt, GeneratorExit, MemoryError):
                raise
            except BaseException as error:
                if machine_error(error) is not None:  # it says nothing about the model
                    raise
                said = " ".join(str(error).split()) or "no message"
                place = traceback.extract_tb(error.__traceback__)[-1]
                raise CallFailed(f"{type(error).__name__} at {place.filename}:{place.lineno}: {said[:300]}") from error

    def __call__(self, samples: list[Any], dtype: torch.dtype) -> Outputs:
        """The typed output leaves for every sample.

        Raises:
            CallFailed: the model raised.
            RepError, DataError: an output that does not fit `gives`, or is not finite.
        """
        found = []
        for index, sample in enumerate(samples):
            made = self.raw(sample, dtype)
            if not self.outputs:
                self.outputs = tuple(self.probe.typed_outputs(_arrays(made)))
            given = leaves(_arrays(made))
            kept = {}
            for leaf in self.outputs:
                if leaf.path not in given:
                    raise DataError(f"the output of sample {index} has no {leaf.name}.")
                values = leaf.flat(given[leaf.path]).detach().cpu().double()
                if self.finite and not bool(values.isfinite().all()):
                    raise DataError(f"{leaf.name} of the output holds NaN or infinity at sample {index}.")
                kept[leaf.path] = values
            found.append(kept)
        return found

    def turned(self, samples: list[Any], g: Elements, dtype: torch.dtype) -> list[Any]:
        """Copies of the samples, turned by one element in `dtype`."""
        found = []
        for sample in samples:
            copied = cast(sample, dtype)
            there = leaves(copied)
            found.append(replaced(copied, {leaf.path: leaf.turned(there[leaf.path], g) for leaf in self.inputs}))
        return found

    def moved(self, samples: list[Any], directions: list[dict[Path, Tensor]], step: float, dtype: torch.dtype) -> Any:
        """Copies of the samples whose typed inputs are moved by `step` times a direction."""
        found = []
        for sample, direction in zip(samples, directions, strict=True):
            copied = cast(sample, dtype)
            there = leaves(copied)
            new = {}
            for leaf in self.inputs:
                flat = leaf.flat(there[leaf.path])
                shifted = flat.double() + step * direction[leaf.path].to(flat.device)
                new[leaf.path] = leaf.restored(shifted, there[leaf.path])
            found.append(replaced(copied, new))
        return found

    def directions(self, samples: list[Any], seed: int) -> list[dict[Path, Tensor]]:
        """Random directions for the typed inputs, of the size of their spread (see `spread_of`)."""
        rng = np.random.default_rng(seed)
        sizes = self.spreads(samples)
        return [
            {
                leaf.path: sizes[leaf.path]
                * torch.from_numpy(rng.normal(size=tuple(leaf.flat(leaves(sample)[leaf.path]).shape)))
                for leaf in self.inputs
            }
            for sample in samples
        ]

    def spreads(self, samples: list[Any]) -> dict[Path, float]:
        """RMS of each typed input about its mean; of the values themselves where all are one."""
        found: dict[Path, list[Tensor]] = {}
        for sample in samples:
            there = leaves(sample)
            for leaf in self.inputs:
                flat = leaf.flat(there[leaf.path]).detach().cpu().double()
                found.setdefault(leaf.path, []).append(about_centroid(flat, leaf))
        sizes = {}
        for path, parts in found.items():
            rows = torch.cat(parts)
            size = float(rows.square().mean().sqrt())
            about = float((rows - rows.mean(0)).square().mean().sqrt()) if len(rows) > 1 else 0.0
            sizes[path] = (about if about > 1e-9 * size else size) or 1.0
        return sizes

    def jittered(self, samples: list[Any], dtype: torch.dtype, seed: int) -> list[Any]:
        """Copies of the samples whose typed inputs are off by one rounding, eps |x| of each vector."""
        rng = np.random.default_rng(seed)
        eps = float(torch.finfo(dtype).eps)
        directions = []
        for sample in samples:
            there = leaves(sample)
            moves = {}
            for leaf in self.inputs:
                flat = leaf.flat(there[leaf.path]).detach().cpu().double()
                width = leaf.rep.d if leaf.rep.structured else leaf.rep.dim
                rows = flat.unflatten(-1, (-1, width))
                signs = torch.from_numpy(rng.choice([-1.0, 1.0], size=tuple(rows.shape)))
                moves[leaf.path] = (eps * rows.norm(dim=-1, keepdim=True) * signs).flatten(-2)
            directions.append(moves)
        return self.moved(samples, directions, 1.0, dtype)

    def finest(self, samples: list[Any], dtype: torch.dtype) -> float:
        """The largest rounding of a typed input in units of its spread."""
        sizes = self.spreads(samples)
        eps = float(torch.finfo(dtype).eps)
        return max(
            eps * float(leaf.flat(leaves(sample)[leaf.path]).detach().abs().max()) / sizes[leaf.path]
            for sample in samples
            for leaf in self.inputs
        )

    def reach(self, samples: list[Any]) -> float:
        """The scale of translations: the largest spread of points among the inputs, 1 where there are none."""
        sizes = self.spreads(samples)
        points = [sizes[leaf.path] for leaf in self.inputs if leaf.rep.has_points]
        return max(points, default=1.0)


def about_centroid(flat: Tensor, leaf: TypedLeaf) -> Tensor:
    """Rows of a leaf; of points those about the centroid of their cloud: a cloud alone has a size too."""
    if not leaf.rep.structured:
        return flat.reshape(-1, leaf.rep.dim)
    copies = flat.unflatten(-1, (leaf.rep.multiplicity, leaf.rep.d))
    if leaf.rep.has_points:
        cloud = copies if leaf.rep.multiplicity > 1 else copies[..., 0, :]
        if cloud.dim() > 1 and cloud.shape[-2] > 1:
            copies = cloud - cloud.mean(-2, keepdim=True)
    return copies.reshape(-1, leaf.rep.d)


def _arrays(made: Any) -> Any:
    """An output with numbers that are no arrays made arrays: a model may return an energy as a float."""
    numbers = {
        path: torch.as_tensor(leaf, dtype=None if is_array(leaf) else torch.float64).reshape(1)
        for path, leaf in leaves(made).items()
        if isinstance(leaf, float) or (is_array(leaf) and leaf.ndim == 0)
    }
    return replaced(made, numbers)


def check_finite(samples: list[Any]) -> None:
    """Refuse inputs that are not finite.

    Raises:
        DataError: the leaf and the sample.
    """
    for index, sample in enumerate(samples):
        for path, leaf in leaves(sample).items():
            if is_array(leaf) and not bool(torch.isfinite(torch.as_tensor(leaf)).all()):
                raise DataError(f"{label(path)} of the inputs holds NaN or infinity at sample {index}.")


def inputs_dtype(samples: list[Any], typed: Mapping[Path, TypedLeaf]) -> torch.dtype:
    """The dtype of the typed inputs.

    Raises:
        DataError: they have several.
    """
    found = {
        torch.as_tensor(leaf).dtype for sample in samples for path, leaf in leaves(sample).items() if path in typed
    }
    if len(found) != 1:
        names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found))
        raise DataError(f"the inputs with a rep have one floating dtype; got {names}.")
    return found.pop()
