"""Pairs of an input and a group element, one by one: the residual of each, and the file that a found one is kept in.

The measure of an audit pairs every sample with every element. What looks for the worst pair asks for pairs of its own:
an input that no sample is, with an element that no other pair has. Of a batch of independent samples as many pairs are
evaluated in one call as it has samples, so that no call is larger than the probe's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import torch
from torch import Tensor

from equiwm.audit.calling import cast
from equiwm.audit.channels import sizes
from equiwm.audit.measure import Measured, Quantity
from equiwm.audit.pytree import Path, is_array, label, leaves, replaced
from equiwm.audit.running import Outputs, Runner
from equiwm.disk.documents import write_document
from equiwm.disk.strict_json import canonical_json, read_json
from equiwm.errors import DataError, RunError
from equiwm.symmetry.elements import Elements

KIND = "pair of an audit"
"""What a file of ours says that it is."""
LEAST = 1e-6
"""An increment counts relative to at least this share of the leaf that it is an increment of."""
SCHEMA = 1
"""Version of that file."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An input and a group element.

    Attributes:
        index: of the sample whose other leaves (numbers, edges) the input has.
        inputs: path -> (*lead, dim) values of the typed leaves, float64.
        element: one element, batch shape ().
    """

    index: int
    inputs: dict[Path, Tensor]
    element: Elements


@dataclass(frozen=True, eq=False)
class Off:
    """How far off one pair is.

    Attributes:
        relative: for each quantity (M, C): |Delta| over the scale of the channel, or over the values there about their
            mean over the samples, if these are larger. Not finite where an output is not.
        size: for each quantity (M, C): |Delta| in the units of the leaf.
        local: for each quantity (M, C): what `relative` is relative to.
        straight: for each quantity F(x), (M, dim).
        turned: for each quantity F(g x), (M, dim).
    """

    relative: list[Tensor]
    size: list[Tensor]
    local: list[Tensor]
    straight: list[Tensor]
    turned: list[Tensor]

    @property
    def finite(self) -> bool:
        """Whether all outputs are."""
        return all(bool(each.isfinite().all()) for each in (*self.straight, *self.turned))


class Pairs:
    """Evaluates pairs in one dtype.

    Attributes:
        runner: the model.
        dtype: what it runs in.
        batch: how many independent samples the first axis of the one sample counts; 0 if it does not.
        count: how many samples there are.
        most: how many pairs go into one call.
        evaluated: how many pairs were evaluated so far.
    """

    def __init__(self, runner: Runner, batch: int, dtype: torch.dtype, measured: Sequence[Measured]) -> None:
        """What the pairs are measured against.

        Args:
            runner: the model.
            batch: as above.
            dtype: what it runs in.
            measured: every quantity in that dtype, at the probe's samples.
        """
        self.runner, self.batch, self.dtype, self.measured = runner, batch, dtype, list(measured)
        self.samples = [cast(sample, torch.float64) for sample in runner.probe.samples]
        self.count = batch or len(self.samples)
        self.most = batch or 1
        self.evaluated = 0
        self._kept: dict[int, dict[Path, Tensor]] = {}
        self.given = [self._given(index) for index in range(self.count)]
        rows = [self._outputs([index], [self.given[index]]) for index in range(self.count)] if not batch else []
        if batch:
            rows = [self._outputs(list(range(batch)), self.given)]
        self.centres = [self._centre(each.quantity, rows) for each in self.measured]
        self.scales = [self._scale(k) for k in range(len(self.measured))]

    def _given(self, index: int) -> dict[Path, Tensor]:
        return self.typed(self.samples[0 if self.batch else index], index)

    def _scale(self, k: int) -> Tensor:
        """(M, C): of an increment that is nothing at the samples at least a millionth of the leaf's own."""
        scale, over = self.measured[k].scale, self.measured[k].quantity.over
        return scale if over is None else torch.maximum(scale, LEAST * self.measured[k - 1].scale)

    def typed(self, sample: Any, index: int) -> dict[Path, Tensor]:
        """The typed leaves of one input of a sample that `sample` made, float64."""
        there = leaves(sample)
        flat = {leaf.path: leaf.flat(there[leaf.path]).detach().cpu().double() for leaf in self.runner.inputs}
        return {path: values[index] if self.batch else values for path, values in flat.items()}

    def sample(self, index: int, inputs: dict[Path, Tensor]) -> list[Any]:
        """The probe's samples with one of them exchanged; of a list that one alone."""
        sample = self.samples[0 if self.batch else index]
        there, new = leaves(sample), {}
        for leaf in self.runner.inputs:
            values = inputs[leaf.path]
            if self.batch:
                flat = leaf.flat(there[leaf.path]).clone()
                flat[index] = values.to(flat.device)
                values = flat
            new[leaf.path] = leaf.restored(values, there[leaf.path])
        return [replaced(sample, new)]

    def __call__(self, pairs: Sequence[Pair]) -> list[Off]:
        """Every pair.

        Raises:
            CallFailed: the model raised.
        """
        self.evaluated += len(pairs)
        found: list[Off] = []
        for start in range(0, len(pairs), self.most):
            found += self._together(pairs[start : start + self.most])
        return found

    def _together(self, pairs: Sequence[Pair]) -> list[Off]:
        indices = [pair.index for pair in pairs]
        g = Elements.cat([pair.element[None] for pair in pairs])
        given = [self._in_dtype(pair.inputs) for pair in pairs]
        turned = [
            {leaf.path: leaf.rep.transform(values[leaf.path], pair.element) for leaf in self.runner.inputs}
            for values, pair in zip(given, pairs, strict=True)
        ]
        straight, there = self._outputs(indices, given), self._outputs(indices, turned)
        relative, size, local, before, after = [], [], [], [], []
        for each, centre, base in zip(self.measured, self.centres, self.scales, strict=True):
            rep = each.quantity.rep
            x, y = self._rows(each.quantity, straight, given), self._rows(each.quantity, there, turned)
            delta = sizes(rep.difference(rep.transform(x, g[:, None]), y), rep)
            about = sizes(rep.difference(x, centre), rep)
            about_turned = sizes(rep.difference(y, rep.transform(centre[None], g[:, None])), rep)
            scale = torch.maximum(torch.maximum(about, about_turned), base)
            relative.append(torch.where(delta > 0, delta / scale, delta))
            size.append(delta)
            local.append(scale)
            before.append(x)
            after.append(y)
        return [
            Off(*([part[k] for part in parts] for parts in (relative, size, local, before, after)))
            for k in range(len(pairs))
        ]

    def _in_dtype(self, inputs: dict[Path, Tensor]) -> dict[Path, Tensor]:
        return {path: values.to(self.dtype) for path, values in inputs.items()}

    def at(self, pairs: Sequence[Pair]) -> list[list[Tensor]]:
        """For every pair each quantity at its input alone, (M, dim); the elements take no part."""
        found: list[list[Tensor]] = []
        for start in range(0, len(pairs), self.most):
            part = pairs[start : start + self.most]
            given = [self._in_dtype(pair.inputs) for pair in part]
            outputs = self._outputs([pair.index for pair in part], given)
            rows = [self._rows(each.quantity, outputs, given) for each in self.measured]
            found += [[each[k] for each in rows] for k in range(len(part))]
        return found

    def _outputs(self, indices: list[int], given: list[dict[Path, Tensor]]) -> list[dict[Path, Tensor]]:
        """The typed outputs of each input, (*lead, dim)."""
        if not self.batch:
            (index,), (inputs,) = indices, given
            if all(inputs[path] is values for path, values in self.given[index].items()):
                return [self._kept.setdefault(index, self._call(self.sample(index, inputs))[0])]
            return self._call(self.sample(index, inputs))
        indices = [*indices, *[0] * (self.batch - len(indices))]  # a model may take no other number of samples
        given = [*given, *[self.given[0]] * (self.batch - len(given))]
        there, new = leaves(self.samples[0]), {}
        for path, leaf in there.items():
            if is_array(leaf) and leaf.ndim and len(leaf) == self.batch:
                new[path] = leaf[indices]
        for leaf in self.runner.inputs:
            flat = torch.stack([inputs[leaf.path].double() for inputs in given])
            new[leaf.path] = leaf.restored(flat, there[leaf.path])
        (outputs,) = self._call([replaced(self.samples[0], new)])
        return [{path: values[k] for path, values in outputs.items()} for k in range(self.batch)]

    def _call(self, samples: list[Any]) -> Outputs:
        self.runner.finite = False
        try:
            return self.runner(samples, self.dtype)
        finally:
            self.runner.finite = True

    def _rows(self, quantity: Quantity, outputs: list[dict[Path, Tensor]], given: list[dict[Path, Tensor]]) -> Tensor:
        """(R, M, dim)."""
        found = []
        for entry, inputs in zip(outputs, given, strict=False):  # what fills up a batch is left out
            values = entry[quantity.leaf.path]
            if quantity.over is not None:
                values = values - inputs[quantity.over.path].double()
            found.append(values.reshape(-1, quantity.rep.dim))
        return torch.stack(found)

    def _centre(self, quantity: Quantity, outputs: list[list[dict[Path, Tensor]]]) -> Tensor:
        """(M, dim) mean over the samples; over their places too where they have other numbers of them."""
        if self.batch:
            return self._rows(quantity, outputs[0], self.given).mean(0)
        rows = [self._rows(quantity, entry, [inputs])[0] for entry, inputs in zip(outputs, self.given, strict=True)]
        if len({each.shape for each in rows}) == 1 and len(rows) > 1:
            return torch.stack(rows).mean(0)
        return torch.cat(rows).mean(0, keepdim=True)


# The file


def saved(path: File, pair: Pair, quantity: str, channel: str) -> None:
    """Keep a pair in a file.

    Strict JSON: the values of the typed inputs in their flat form, and the element. What is there already is replaced
    where it is such a file too.

    Raises:
        RunError: what is there is something else, or it cannot be written.
    """
    require_ours(path)
    write_document(path, text_of(pair, quantity, channel) + "\n")


def require_ours(path: File) -> None:
    """Refuse to take the place of a file that holds no pair.

    Raises:
        RunError: there is something else.
    """
    if not path.exists() or not path.is_file():
        return
    try:
        ours = read_json(path).get("kind") == KIND
    except RunError:
        ours = False
    if not ours:
        raise RunError(f"cannot write {path}: it holds no pair of an audit, and is left as it is; name another.")


def text_of(pair: Pair, quantity: str, channel: str) -> str:
    """A pair as JSON; every number comes back as it was."""
    g = pair.element
    return canonical_json(
        {
            "kind": KIND,
            "schema": SCHEMA,
            "sample": pair.index,
            "inputs": [
                {
                    "leaf": label(path),
                    "path": list(path),
                    "shape": list(values.shape),
                    "values": values.flatten().tolist(),
                }
                for path, values in pair.inputs.items()
            ],
            "linear": g.linear.tolist(),
            "translation": g.translation.tolist(),
            "permutation": None if g.permutation is None else g.permutation.tolist(),
            "output": quantity,
            "channel": channel,
        }
    )


def read_pair(path: File) -> Pair:
    """The pair in a file that a search has written.

    Raises:
        RunError: it cannot be read, or is no such file.
    """
    return _pair_of(read_json(path), str(path))


def pair_from(text: str) -> Pair:
    """The pair that `text_of` wrote."""
    return _pair_of(json.loads(text), "the pair")


def _pair_of(data: dict[str, Any], where: str) -> Pair:
    try:
        if data["kind"] != KIND or data["schema"] != SCHEMA:
            raise ValueError
        inputs = {
            tuple(entry["path"]): torch.tensor(entry["values"], dtype=torch.float64).reshape(entry["shape"])
            for entry in data["inputs"]
        }
        order = data["permutation"]
        element = Elements(
            torch.tensor(data["linear"], dtype=torch.float64).reshape(2 * [len(data["translation"])]),
            torch.tensor(data["translation"], dtype=torch.float64),
            None if order is None else torch.tensor(order, dtype=torch.int64),
        )
        return Pair(int(data["sample"]), inputs, element)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise RunError(f"{where} holds no pair of an audit of schema {SCHEMA}.") from None


def fits(pairs: Pairs, pair: Pair) -> None:
    """Refuse a pair of another probe.

    Raises:
        DataError: it has other leaves or shapes.
    """
    if not 0 <= pair.index < pairs.count:
        raise DataError(f"the pair is of sample {pair.index}; the probe has {pairs.count}.")
    here = {path: values.shape for path, values in pairs.given[pair.index].items()}
    if {path: values.shape for path, values in pair.inputs.items()} != here:
        raise DataError("the pair has other leaves, or leaves of other shapes, than the probe's inputs.")
