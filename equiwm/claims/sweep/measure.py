"""Claim B: one-step error over the orbit. A held-out test set is turned into every bin of orientations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from equiwm.claims.probe import PROBE_SEED, fitting_group, held_out
from equiwm.claims.relmse import relmse as relative_error
from equiwm.claims.sweep.excess import symmetry_excess, world_residual
from equiwm.claims.sweep.readout import Lazy, Readout, action_only_errors, fit_readouts, pooled_error
from equiwm.claims.sweep.recorded import recorded_bins, refuse_larger
from equiwm.claims.sweep.result import Bin, Outcomes, ReadoutResult, SweepResult, SymmetryExcess
from equiwm.models.world_model import WorldModel
from equiwm.stats import largest, ratio
from equiwm.subject import Subject
from equiwm.symmetry.bins import OrbitBin
from equiwm.symmetry.groups import Elements, Group
from equiwm.training.data import parts_of
from equiwm.worlds.world import Progress, RecordedBin, RecordedWorld, Transitions, World

TRANSITIONS = 1000
EXCESS_TRANSITIONS, EXCESS_ELEMENTS = 64, 16
CARRIED_TRANSITIONS, CARRIED_ELEMENTS = 16, 8
CARRIED = 1e-3
"""What an outcome turned with its scene may be off by, relative to how far the world moves: 1e-6 of a relMSE."""


def _turn(group: Group, entry: OrbitBin) -> float | None:
    """Angle of a bin that stands on the circle; a mirrored one is M R(angle) with M = diag(-1, 1)."""
    if group.d != 2 or group.translations:
        return None
    sine, cosine = entry.element.linear[1].tolist()
    return math.degrees(math.atan2(sine, cosine)) % 360.0


def relmse(model: WorldModel, data: Transitions) -> float:
    """sum |F(s,a) - E(s')|^2 / sum |E(s') - E(s)|^2, pooled, the online encoder on both sides (paper, section 4)."""
    with torch.no_grad():
        now, then = model.encode(data.observation), model.encode(data.next_observation)
        predicted, difference = model.predict(now, data.action), model.latent_rep.difference
        return float(relative_error(difference(predicted, then), torch.zeros_like(then), by=difference(then, now)))


def component_relmse(subject: Subject, data: Transitions) -> dict[str, float]:
    """relMSE of each named channel of a forward model; empty for latent ones, whose channels have no names.

    A forward model predicts points less their mean, so of a point this is its place in the scene.
    """
    if not subject.model.latent_is_state:
        return {}
    model = subject.model
    rep = model.latent_rep
    with torch.no_grad():
        predicted = model(data.observation, data.action)
        now, then = model.encode(data.observation), model.encode(data.next_observation)
    error, moved = rep.difference(predicted, then), rep.difference(then, now)
    by_channel = [rep.channel_squares(x.cpu().double().reshape(-1, *rep.shape)).sum(0) for x in (error, moved)]
    errors = by_channel[0] / by_channel[1]
    return {name: float(errors[channel]) for name, channel in subject.world.components.items()}


class Readouts:
    """The read-outs of a model: fitted once on its training transitions, evaluated on any others.

    Args:
        model: the trained model.
        world: its world, which names the targets.
        train: its training transitions; they are cast and moved part by part, as they are encoded.
        like: a tensor of the model's dtype, on its device; None is as `train` is.
    """

    def __init__(self, model: WorldModel, world: World, train: Transitions, like: Tensor | None = None) -> None:
        self.model, self.world, self.train = model, world, train
        self._like = train.observation if like is None else like
        moving = self._moving()
        self.fitted: dict[str, Readout] = fit_readouts(
            Lazy(len(train), self._latents),
            lambda part: {name: self._targets(part, "next_observation")[name] for name in moving},
            train.episode,
            rep=model.latent_rep,
            commutant=model.equivariant,
            target_reps=getattr(world, "target_reps", {}),
            group=world.group,
        )

    @classmethod
    def of_run(cls, subject: Subject) -> Readouts:
        """Those of a run, on the transitions it was trained on."""
        like = torch.empty(0, dtype=subject.dtype, device=subject.device)
        return cls(subject.model, subject.world, subject.train_transitions, like)

    def _cast(self, part: slice) -> Transitions:
        return self.train.rows(part).to(self._like.dtype, self._like.device)

    @torch.no_grad()
    def _latents(self, part: slice) -> Tensor:
        cast = self._cast(part)
        latents: Tensor = self.model(cast.observation, cast.action)
        return latents

    def _targets(self, part: slice, of: str) -> Mapping[str, Tensor]:
        """Targets of training transitions, of their `observation` or `next_observation`."""
        return self.world.readout_targets(getattr(self._cast(part), of))

    def _moving(self) -> list[str]:
        """The targets that ever change in training: an error relative to how far a mass moves has no meaning."""
        still = list(self._targets(slice(1), "next_observation"))
        moving: set[str] = set()
        for part in parts_of(len(self.train)):
            before, after = self._targets(part, "observation"), self._targets(part, "next_observation")
            moving |= {name for name in still if name not in moving and not torch.equal(before[name], after[name])}
            if len(moving) == len(still):
                break
        return [name for name in still if name in moving]

    def errors(self, data: Transitions) -> dict[str, float]:
        """Pooled read-out error of each target on given transitions."""
        world = self.world
        with torch.no_grad():
            latents = self.model(data.observation, data.action)
        now, then = world.readout_targets(data.observation), world.readout_targets(data.next_observation)
        return {name: pooled_error(fit(latents), then[name], now[name]) for name, fit in self.fitted.items()}

    def action_only(self, data: Transitions) -> dict[str, float]:
        """Error of the read-out of each target's change from the action alone."""
        world = self.world

        def changes(part: slice) -> Mapping[str, Tensor]:
            before, after = self._targets(part, "observation"), self._targets(part, "next_observation")
            return {name: after[name] - before[name] for name in self.fitted}

        now, then = world.readout_targets(data.observation), world.readout_targets(data.next_observation)
        return action_only_errors(
            Lazy(len(self.train), lambda part: self._cast(part).action.flatten(1)),
            changes,
            self.train.episode,
            data.action,
            {name: then[name] - now[name] for name in self.fitted},
            world.action_rep,
        )


def _turned(subject: Subject, data: Transitions, entry: OrbitBin, *, resample: bool) -> Transitions:
    """The test set in a bin: turned as it stands, or where the world may not carry `g` with the world's own outcome."""
    world = subject.world
    turned = data.transform(entry.element, world.observation_rep, world.action_rep)
    if resample:
        turned = replace(turned, next_observation=world.step(turned.observation, turned.action))
    return turned.to(subject.dtype, subject.device)


def _carried(world: World, data: Transitions, entries: Sequence[OrbitBin]) -> bool:
    """Whether a world that says so carries the elements of a sweep, tried on a few of them."""
    turned = entries[1 :: max(1, len(entries) // CARRIED_ELEMENTS)]
    if not turned or not getattr(world, "can_step", True):
        return True
    elements = Elements.cat([entry.element[None] for entry in turned])
    return world_residual(world, data.take(CARRIED_TRANSITIONS), elements) <= CARRIED


def sweep(
    subject: Subject,
    *,
    group: str | None = None,
    bins: int | None = None,
    transitions: int = TRANSITIONS,
    seed: int = PROBE_SEED,
    progress: Progress | None = None,
) -> SweepResult:
    """One-step error in every orientation bin.

    One held-out test set is turned into each bin, which is legitimate because the world carries the group. Of a
    recorded world that is not known to, a bin is what was recorded at its orientation (`SweepResult.outcomes`). Under a
    larger group (O(2) in an SO(2) world) that is the question, so the world is stepped afresh from the turned
    scenes, and `symmetry_excess` says whether it and the model agree. So is a world that is broken; and one that says
    it carries the group and does not, which `symmetry_excess` then tells.

    Args:
        subject: the run, in the dtype to evaluate in.
        group: name of the group; None is the world's.
        bins: angles round the circle (36), or random elements in space (64).
        transitions: held-out transitions, turned into every bin.
        seed: seed of the held-out transitions and the random elements.
        progress: called with (bins done, bins).

    Raises:
        GroupError: a group that does not fit the run's world.
        DataError: a group larger than that of a world which cannot be stepped.
    """
    chosen = fitting_group(subject, group)
    world = subject.world
    if isinstance(world, RecordedWorld):
        refuse_larger(world, chosen)
        if not world.equivariant:
            return _over_recorded(subject, chosen, recorded_bins(world, transitions, bins, seed), seed)
    data = held_out(subject, transitions, seed)
    entries = chosen.bins(bins, seed, world.coverage)
    larger = chosen not in world.group
    stepped = not isinstance(world, RecordedWorld)
    denied = stepped and not larger and world.equivariant and not _carried(world, data, entries)
    resample = larger or denied or not world.equivariant
    if resample:
        # A world that is stepped afresh starts from what an observation shows, so the straight set does as well.
        data = replace(data, next_observation=world.step(data.observation, data.action))
    readouts = Readouts.of_run(subject)
    measured = []
    for entry in entries:
        turned = _turned(subject, data, entry, resample=resample)
        measured.append(
            Bin(
                label=entry.label,
                part=entry.part,
                from_wedge_deg=entry.from_wedge_deg,
                overlap=entry.overlap,
                drawn=entry.drawn,
                relmse=relmse(subject.model, turned),
                components=component_relmse(subject, turned),
                readout=readouts.errors(turned),
                turn_deg=_turn(chosen, entry),
            )
        )
        if progress:
            progress(len(measured), len(entries))
    excess = None
    if larger or denied:
        few = data.take(EXCESS_TRANSITIONS)
        excess = symmetry_excess(subject, chosen, few, chosen.sample(EXCESS_ELEMENTS, seed))
    return _summary(subject, chosen, data, measured, readouts, excess, seed, "stepped" if resample else "turned")


def _over_recorded(subject: Subject, group: Group, entries: Sequence[RecordedBin], seed: int) -> SweepResult:
    """A sweep whose bins are what was recorded at each orientation: other situations in each, so it is not flat."""
    readouts = Readouts.of_run(subject)
    measured = []
    for entry in entries:
        data = entry.data.to(subject.dtype, subject.device)
        measured.append(
            Bin(
                label=entry.label,
                part="rotation",
                from_wedge_deg=entry.from_seen_deg,
                overlap=entry.overlap,
                drawn=False,
                relmse=relmse(subject.model, data),
                components=component_relmse(subject, data),
                readout=readouts.errors(data),
                turn_deg=entry.turn_deg,
            )
        )
    return _summary(subject, group, entries[0].data, measured, readouts, None, seed, "recorded")


def _flatness(bins: list[Bin], seen: float) -> float:
    return largest(abs(ratio(entry.relmse, seen) - 1.0) for entry in bins)


def _summary(
    subject: Subject,
    group: Group,
    data: Transitions,
    bins: list[Bin],
    readouts: Readouts,
    excess: SymmetryExcess | None,
    seed: int,
    outcomes: Outcomes,
) -> SweepResult:
    seen = bins[0].relmse
    unseen = [entry for entry in bins if entry.overlap == "none"]
    worst = largest(entry.relmse for entry in unseen)
    action_only = readouts.action_only(data.to(subject.dtype, subject.device))
    parts = dict.fromkeys(entry.part for entry in bins[1:])
    return SweepResult(
        group=group.name,
        dtype=str(subject.dtype).removeprefix("torch."),
        device=subject.device.type,
        transitions=len(data),
        excluded=dict(data.excluded),
        bins=bins,
        seen=seen,
        worst_ood=worst,
        ood_factor=ratio(worst, seen),
        flatness=_flatness(bins, seen),
        part_flatness={part: _flatness([entry for entry in bins[1:] if entry.part == part], seen) for part in parts},
        readout={
            name: ReadoutResult(
                seen=bins[0].readout[name],
                worst_unseen=largest(entry.readout[name] for entry in unseen),
                action_only=action_only[name],
                penalty=fitted.penalty,
                commutant=fitted.commutant,
            )
            for name, fitted in readouts.fitted.items()
        },
        symmetry_excess=excess,
        parameters=subject.model.parameter_count,
        seed=seed,
        outcomes=outcomes,
    )
