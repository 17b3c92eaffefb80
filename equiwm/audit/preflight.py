"""What is asked of a network before any residual: each answer is a finding of its own, and some stop the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from equiwm.audit.calling import cast, own_tensors
from equiwm.audit.measure import MOVE
from equiwm.audit.probe import Probe
from equiwm.audit.pytree import Path, is_array, label, leaves
from equiwm.audit.running import CallFailed, Outputs, Runner, about_centroid, check_finite, inputs_dtype
from equiwm.audit.typed import TypedLeaf, declared
from equiwm.errors import DataError
from equiwm.stats import largest

HIDES = ("flat inputs", "mirror images")
"""Findings on inputs that hide breaks: they are moved as well."""
REPEATS = (False, False, True, False, True, True, False)
"""Answers to the same input that are compared with the first one; True is after other inputs."""

MIRRORS = 16
"""How many clouds of a leaf are looked at for mirrors."""
Stop = Literal["not deterministic", "batch-dependent", "mutating", "vacuous", "not judged"]


@dataclass(frozen=True)
class Finding:
    """One answer of the preflight.

    Attributes:
        name: short.
        text: one sentence, with what to do.
        stops: the verdict that it decides, or None.
    """

    name: str
    text: str
    stops: Stop | None = None


@dataclass(eq=False)
class Preflight:
    """How the model is called from here on, and what was found.

    Attributes:
        runner: calls it.
        low: the dtype of its inputs; float32 where they are float64 and it runs in float32.
        high: whether it runs in float64.
        batch: how many independent samples the first axis of the one sample counts; 0 if it does not.
        promoted: whether it runs in float64 with every operation promoted and in no other way.
        findings: in order.
    """

    runner: Runner
    low: torch.dtype
    high: bool
    batch: int
    promoted: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def stop(self) -> Finding | None:
        """The first finding that decides the verdict."""
        return next((finding for finding in self.findings if finding.stops), None)


def preflight(
    probe: Probe, seed: int, *, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Preflight:
    """Ask everything.

    Args:
        probe: the probe; its modules are left as they are found by the caller (`left_as_found`).
        seed: of what is moved.
        dtype: run in this one alone; None is that of the inputs and float64.
        device: run there; None is where the model and the inputs are.

    Raises:
        DataError: inputs that are not finite or of several dtypes; a model that raises at its own inputs, or does not
            run in the dtype that is asked for.
        RepError: an input or output that does not fit its rep.
    """
    samples = probe.samples
    check_finite(samples)
    for sample in samples:
        probe.typed_inputs(sample)
    runner = Runner(probe, device=device)
    given = inputs_dtype(samples, {leaf.path: leaf for leaf in runner.inputs}) if dtype is None else dtype
    found: list[Finding] = []
    first = _first_call(runner, given, found)
    found += _side_effects(runner, given)
    apart = _unsteady(runner, samples, given, first, seed)
    if apart > 64 * torch.finfo(given).eps:
        found.append(_mutating(runner, samples, given, apart, seed) or _random(runner, samples, given, apart))
    low, high = given, given == torch.float64
    if dtype is not None:
        found.append(_alone(dtype))
    elif given == torch.float64:
        low = torch.float32 if _runs(runner, torch.float32, found) else given
    else:
        high = _runs(runner, torch.float64, found) or _promotes(runner, found)
    found += _still(runner, seed)
    found += _hidden_directions(runner)
    found += _without_reps(runner, given)
    state = Preflight(runner, low, high, 0, runner.promote, found)
    if state.stop is None:
        _batch(state, samples, given, first, seed)
    return state


def _alone(dtype: torch.dtype) -> Finding:
    name = str(dtype).removeprefix("torch.")
    what = {
        torch.float32: "what float64 would tell a break from rounding is not known",
        torch.float64: "what float32 costs is not known",
    }[dtype]
    return Finding(f"{name} alone", f"It was run in {name} alone, as asked: {what}.")


def _spread(runner: Runner) -> str:
    """What may be meant where a tuple or a mapping is one argument."""
    given = runner.probe.samples[0]
    if runner.probe.call or not isinstance(given, tuple | list | dict):
        return ""
    call = "**" if isinstance(given, dict) else "*"
    return f"\nIt was given one {type(given).__name__}; if its parts are arguments, say call='{call}'."


def _first_call(runner: Runner, dtype: torch.dtype, found: list[Finding]) -> Outputs:
    """Without gradients where it runs without."""
    try:
        return runner(runner.probe.samples, dtype)
    except CallFailed as error:
        runner.grad = True
        try:
            first = runner(runner.probe.samples, dtype)
        except CallFailed as again:
            raise DataError(f"the model raised at the probe's own inputs: {again}{_spread(runner)}") from error
        runner.grad = False
        try:  # it may have failed once and for another reason
            return runner(runner.probe.samples, dtype)
        except CallFailed:
            runner.grad = True
    found.append(Finding("gradients inside", "It takes gradients inside; it was called with gradients on."))
    return first


def _side_effects(runner: Runner, dtype: torch.dtype) -> list[Finding]:
    probe = runner.probe
    before = {name: tensor.detach().clone() for name, tensor in own_tensors(probe.modules).items()}
    sample = cast(probe.samples[0], dtype, runner.device)
    kept = cast(sample, dtype)
    runner.on(sample, dtype)
    found = []
    there, was = leaves(sample), leaves(kept)
    changed = [
        label(path)
        for path, leaf in was.items()
        if is_array(leaf)
        and not (path in there and bool((torch.as_tensor(there[path]) == torch.as_tensor(leaf)).all()))
    ]
    if changed:
        found.append(
            Finding(
                "changes its inputs", f"It changes {', '.join(changed)} in place; it was given copies at every call."
            )
        )
    moved = [
        name.partition(":")[2]
        for name, tensor in own_tensors(probe.modules).items()
        if name not in before or tensor.shape != before[name].shape or not torch.equal(tensor, before[name])
    ]
    if moved:
        training = any(module.training for module in probe.modules)
        what = "It is in training mode; call eval() on it. " if training else ""
        found.append(Finding("changes itself", f"{what}A call changes {', '.join(moved[:3])}."))
    return found


def _unsteady(runner: Runner, samples: list[Any], dtype: torch.dtype, first: Outputs, seed: int) -> float:
    """The largest relative difference of the first answer and later ones to the same input, other inputs in between."""
    others = runner.moved(samples, runner.directions(samples, seed), MOVE, dtype)
    found = []
    for between in REPEATS:
        if between:
            runner(others, dtype)
        found.append(_apart(first, runner(samples, dtype)))
    return largest(found)


def _mutating(runner: Runner, samples: list[Any], dtype: torch.dtype, apart: float, seed: int) -> Finding | None:
    """Whether all calls agree once the network is put back between them."""
    modules = runner.probe.modules

    runner.restore = True
    if _unsteady(runner, samples, dtype, runner(samples, dtype), seed) > 64 * torch.finfo(dtype).eps:
        runner.restore = False
        return None
    training = any(part.training for module in modules for part in module.modules())
    advice = "it is in training mode: call eval() on it" if training else "keep that state out of the forward pass"
    return Finding(
        "mutating",
        f"A call changes its parameters or buffers, and the next one differs by {apart:.1e} of the output: {advice}.",
        "mutating",
    )


def _random(runner: Runner, samples: list[Any], dtype: torch.dtype, apart: float) -> Finding:
    runner.seed = 0
    seeded = _apart(runner(samples, dtype), runner(samples, dtype)) <= 64 * torch.finfo(dtype).eps
    if not seeded:
        runner.seed = None
    training = any(part.training for module in runner.probe.modules for part in module.modules())
    advice = "it is in training mode: call eval() on it" if training else "switch off what is random inside"
    how = "with one seed before every call it repeats" if seeded else "torch.manual_seed does not make it repeat"
    return Finding(
        "not deterministic",
        f"Calls on the same input differ by {apart:.1e} of the output ({how}); no group element is needed for that: "
        f"{advice}.",
        "not deterministic",
    )


def _runs(runner: Runner, dtype: torch.dtype, found: list[Finding]) -> bool:
    try:
        runner(runner.probe.samples, dtype)
    except (CallFailed, DataError) as error:
        name = str(dtype).removeprefix("torch.")
        found.append(
            Finding(f"no {name}", f"It does not run in {name} ({error}); what {name} would tell is not known.")
        )
        return False
    return True


def _promotes(runner: Runner, found: list[Finding]) -> bool:
    """Whether it runs with every operation in float64, where it does not run in float64 as it stands."""
    runner.promote = True
    if not _runs(runner, torch.float64, []):
        runner.promote = False
        return False
    reason = found.pop().text.partition(";")[0]
    text = f"{reason}; it was run with every one of its operations in float64 instead."
    found.append(Finding("float64 by promotion", text))
    return True


def _still(runner: Runner, seed: int) -> list[Finding]:
    """Whether any element of the group does anything to any input."""
    probe = runner.probe
    elements = probe.acting.sample(8, seed, sigma=runner.reach(probe.samples))
    for sample in probe.samples:
        there = leaves(sample)
        for leaf in runner.inputs:
            flat = leaf.flat(there[leaf.path]).detach().cpu().double()
            for k in range(len(elements)):
                if float((leaf.rep.transform(flat, elements[k]) - flat).abs().max()) > 1e-9 * float(flat.abs().max()):
                    return []
    text = f"No element of {probe.acting} changes any input: that it is equivariant means nothing."
    return [Finding("nothing is turned", text, "vacuous")]


def _hidden_directions(runner: Runner) -> list[Finding]:
    """What typed inputs span: whether they fill the space, hold zero vectors, or are mirror images of themselves."""
    found = []
    for leaf in runner.inputs:
        if not leaf.rep.structured:
            continue
        clouds = [leaf.flat(leaves(sample)[leaf.path]).detach().cpu().double() for sample in runner.probe.samples]
        rows = torch.cat([about_centroid(flat, leaf) for flat in clouds])
        values = torch.linalg.svdvals(rows)
        rank = int((values > 1e-6 * values[0]).sum()) if float(values[0]) > 0 else 0
        if rank < leaf.rep.d:
            what = {0: "zero everywhere", 1: "on one line everywhere", 2: "in one plane everywhere"}.get(rank, "flat")
            text = f"{leaf.name} of the inputs is {what}; it was moved as well, to see what that hides."
            found.append(Finding("flat inputs", text))
            continue
        zero = int((rows.norm(dim=1) <= 1e-9 * float(values[0])).sum())
        if zero:
            text = f"{zero} of {len(rows)} vectors in {leaf.name} of the inputs are zero."
            found.append(Finding("zero vectors", text))
        if runner.probe.acting.reflections and all(_mirrored(flat, leaf) for flat in clouds):
            text = (
                f"{leaf.name} of the inputs is its own mirror image in every sample, which hides what tells left from "
                "right; it was moved as well."
            )
            found.append(Finding("mirror images", text))
    return found


def _mirrored(flat: Tensor, leaf: TypedLeaf) -> bool:
    """Whether every cloud of a leaf is carried onto itself by a reflection, its points in any order.

    A mirror of a cloud whose moments of inertia differ is normal to one of its principal axes.
    """
    clouds = flat.unflatten(-1, (leaf.rep.multiplicity, leaf.rep.d))
    clouds = clouds.reshape(-1, *clouds.shape[-2:]) if leaf.rep.multiplicity > 1 else clouds.reshape(1, -1, leaf.rep.d)
    if clouds.shape[1] < leaf.rep.d + leaf.rep.has_points:  # so few always are
        return False
    for cloud in clouds[:MIRRORS]:
        centred = cloud - cloud.mean(0) if leaf.rep.has_points else cloud
        size = float(centred.norm()) or 1.0
        _, axes = torch.linalg.eigh(centred.mT @ centred)
        images = (centred - 2 * (centred @ axis)[:, None] * axis for axis in axes.mT)
        if not any(float(torch.cdist(image, centred).amin(1).amax()) <= 1e-6 * size for image in images):
            return False
    return True


def _without_reps(runner: Runner, dtype: torch.dtype) -> list[Finding]:
    """Outputs that nothing is said of: a reader would take the verdict for one on them too."""
    made, told = runner.raw(runner.probe.samples[0], dtype), declared(runner.probe.gives, "gives")
    names = [
        label(path)
        for path, leaf in leaves(made).items()
        if path not in told
        and (isinstance(leaf, float) or (is_array(leaf) and torch.as_tensor(leaf).is_floating_point()))
    ]
    if not names:
        return []
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return [Finding("outputs without a rep", f"{shown} of the outputs: gives names no rep, so nothing is said of it.")]


def _batch(state: Preflight, samples: list[Any], dtype: torch.dtype, first: Outputs, seed: int) -> None:
    """Whether the first axis of one batch counts samples that do not see each other."""
    runner = state.runner
    if len(samples) > 1:
        return
    there = leaves(samples[0])
    leads = {tuple(leaf.flat(there[leaf.path]).shape[:-1])[:1] for leaf in runner.inputs}
    (size,) = leads.pop() if len(leads) == 1 and () not in leads else (0,)
    outputs = [values for values in first[0].values() if values.dim() > 1 and len(values) == size]
    if size < 2 or not outputs:
        return
    coupled = _coupling(runner, samples, dtype, size, seed)
    if coupled <= 64 * torch.finfo(dtype).eps:
        state.batch = size
        return
    training = [part for module in runner.probe.modules for part in module.modules() if part.training]
    for part in training:
        part.training = False
    by_mode = bool(training) and _coupling(runner, samples, dtype, size, seed) <= 64 * torch.finfo(dtype).eps
    for part in training:
        part.training = True
    single = all(leaf.flat(there[leaf.path]).dim() == 2 and leaf.rep.multiplicity == 1 for leaf in runner.inputs)
    if single and not by_mode:
        text = f"The {size} rows of the inputs depend on each other: they count as one structure."
        state.findings.append(Finding("one structure", text))
        return
    state.batch = size
    reduced = "look for a mean or a maximum over the first axis"
    advice = "it is in training mode: call eval() on it" if by_mode else reduced
    state.findings.append(
        Finding(
            "batch-dependent",
            f"The output of a sample depends on the others in the batch (by {coupled:.1e} where others of the "
            f"{size} are moved): {advice}.",
            "batch-dependent",
        )
    )


def _coupling(runner: Runner, samples: list[Any], dtype: torch.dtype, size: int, seed: int) -> float:
    """How much the outputs of some samples of a batch change where the others are moved.

    One sample is moved and each half is: of a largest one, of ranks, of the nearest ones a single sample tells nothing.
    """
    before = runner(samples, dtype)[0]
    every = torch.arange(size)
    return max(
        _change_of_others(runner, samples, dtype, before, every < 1, seed),
        _change_of_others(runner, samples, dtype, before, every < size // 2, seed),
        _change_of_others(runner, samples, dtype, before, every >= size // 2, seed),
    )


def _change_of_others(
    runner: Runner, samples: list[Any], dtype: torch.dtype, before: dict[Path, Tensor], move: Tensor, seed: int
) -> float:
    """How much the outputs of the other samples of a batch change where those of a mask are moved."""
    directions = runner.directions(samples, seed)
    for direction in directions:
        for values in direction.values():
            values[~move] = 0.0
    moved = runner(runner.moved(samples, directions, MOVE, dtype), dtype)[0]
    changes = [
        float((moved[path] - values)[~move].square().mean().sqrt() / _size(values))
        for path, values in before.items()
        if values.dim() > 1 and len(values) == len(move)
    ]
    return max(changes)


def _size(values: Tensor) -> float:
    return max(float(values.square().mean().sqrt()), 1e-300)


def _apart(one: Outputs, other: Outputs) -> float:
    """The largest relative difference of two sets of outputs."""
    found = [0.0]
    for a, b in zip(one, other, strict=True):
        for path, values in a.items():
            if values.shape != b[path].shape:
                return float("inf")
            found.append(float((values - b[path]).square().mean().sqrt()) / _size(values))
    return max(found)
