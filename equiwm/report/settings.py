"""Runs that differ in nothing but the seed, put together; and which ordinary model each is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from equiwm.claims.claim import AnyClaim
from equiwm.config import WorldConfig, section_of
from equiwm.locate import BUILT_IN, locate
from equiwm.report.collect import CollectedRun
from equiwm.report.weights import is_others
from equiwm.results.result import Result


@dataclass(frozen=True)
class SeedResult:
    """What one command measured on one run.

    Attributes:
        run: the run's name.
        preset: its preset.
        seed: of its training.
        claim: what was measured.
        result: what it came to.
        other_weights: whether it was measured on other weights than the run has.
    """

    run: str
    preset: str | None
    seed: int
    claim: AnyClaim
    result: Result
    other_weights: bool = False

    @property
    def asked(self) -> str:
        """What was asked for (`SO2, float32`): results of several seeds are put together within it."""
        return self.claim.shown.asked(self.result)

    @property
    def probe(self) -> str:
        """What it was measured on: only results of the same are comparable."""
        return self.claim.shown.probe(self.result)


@dataclass(frozen=True)
class Setting:
    """One training, at one or more seeds.

    Attributes:
        label: name of its runs without the seed, with the preset where the name does not tell it, and with what is
            different where several settings have one name.
        preset: the preset.
        world: what its world is called.
        baseline: label of the setting that it is compared with, or None.
        is_baseline: whether another one is compared with it.
        seeds: in ascending order.
        runs: one a seed; fewer where a baseline is known from the results of its model alone.
        results: of all of them.
    """

    label: str
    preset: str | None
    world: str
    baseline: str | None
    is_baseline: bool
    seeds: tuple[int, ...]
    runs: tuple[CollectedRun, ...]
    results: tuple[SeedResult, ...]

    @property
    def parameters(self) -> int | None:
        """Trained scalars."""
        sizes = (each.claim.shown.parameters(each.result) for each in self.results)
        return next((size for size in sizes if size is not None), None)

    def of(self, claim: AnyClaim) -> list[SeedResult]:
        """The results of a claim."""
        return [each for each in self.results if each.claim.name == claim.name]


def settings_of(found: Sequence[CollectedRun]) -> tuple[list[Setting], list[str]]:
    """Group trainings, and policies like them, by name, preset and configuration, and pair models with baselines.

    A baseline is what a run was measured beside; else the setting of the preset that the run's own preset names.
    Results of a baseline that stand in its model's metrics count as the baseline's, unless it was measured itself.

    Returns:
        The settings, models before their baseline; and a line for each result or run that is left out, and why.
    """
    skipped: list[str] = []
    drafts: list[_Draft] = []
    beside: list[tuple[_Draft, SeedResult]] = []
    for run in found:
        if run.kind == "study":
            continue
        own, others = _results(run)
        skipped += run.unread
        if run.unread and not own:
            continue
        draft = _draft_for(drafts, run.name, run.preset, run.seed, _world(run.settings), run.settings)
        if run.seed in draft.runs:
            skipped.append(f"{run.path} repeats seed {run.seed} of {draft.runs[run.seed].path}; it is left out.")
            continue
        draft.runs[run.seed] = run
        draft.results += own
        beside += [(draft, each) for each in others]
    for model, each in beside:
        draft = _draft_for(drafts, each.run, each.preset, each.seed, model.world, None)
        model.beside.append(draft)
        if not any(_same_measurement(each, known) for known in draft.results):
            draft.results.append(each)
    return _finished(drafts), skipped


@dataclass(eq=False)
class _Draft:
    """A setting in the making."""

    label: str
    stem: str
    preset: str | None
    world: str
    settings: Mapping[str, object] | None
    runs: dict[int, CollectedRun] = field(default_factory=dict)
    results: list[SeedResult] = field(default_factory=list)
    beside: list[_Draft] = field(default_factory=list)


def _draft_for(
    drafts: list[_Draft], name: str, preset: str | None, seed: int, world: str, settings: Mapping[str, object] | None
) -> _Draft:
    """The draft that a run belongs to; a baseline whose configuration is not known joins the first of its name."""
    stem = name.removesuffix(f"-s{seed}")
    named = [draft for draft in drafts if (draft.stem, draft.preset) == (stem, preset)]
    if settings is None:
        fitting = [draft for draft in named if seed in draft.runs] or named
    else:
        fitting = [draft for draft in named if draft.settings == settings]
    if fitting:
        return fitting[0]
    label = stem if preset is None or stem.startswith(preset) else f"{stem} ({preset})"
    if named and settings is not None and named[0].settings is not None:
        changed = _changes(named[0].settings, settings)
        label += f" ({', '.join(changed[:3])}{', …' if len(changed) > 3 else ''})"
    taken = {draft.label for draft in drafts}
    numbered = (f"{label} #{number}" for number in count(2))
    label = label if label not in taken else next(other for other in numbered if other not in taken)
    drafts.append(_Draft(label, stem, preset, world, settings))
    return drafts[-1]


def _world(settings: Mapping[str, object]) -> str:
    world = section_of("world", settings.get("world"))
    name = str(world["name"])
    # What a run's folder names from outside is not imported to be reported.
    kind: type[WorldConfig] | None = locate("world", name) if name in BUILT_IN["world"] else None
    shown = kind.title if kind is not None and kind.title else name
    return f"{shown} in {world['dimension']}D" if "dimension" in world else shown


def _changes(old: Mapping[str, object], new: Mapping[str, object], where: str = "") -> list[str]:
    """`training.epochs=2` for every setting that is not as it was."""
    changes: list[str] = []
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            changes += _changes(before, value, f"{where}{key}.")
        elif before != value:
            changes.append(f"{where}{key}={value}")
    return changes


def _results(run: CollectedRun) -> tuple[list[SeedResult], list[SeedResult]]:
    """A run's own results, and those of its baselines."""
    own = [
        SeedResult(
            *(run.name, run.preset, run.seed, each.claim, each.measured.result), is_others(each.measured, run.weights)
        )
        for each in run.results
    ]
    beside = [
        SeedResult(
            other.provenance.name, other.provenance.preset, other.provenance.train_seed, each.claim, other.result
        )
        for each in run.results
        if (other := each.measured.baseline) is not None
    ]
    return own, beside


def _same_measurement(one: SeedResult, other: SeedResult) -> bool:
    def key(each: SeedResult) -> tuple[int, str, str, str]:
        return each.seed, each.claim.name, each.asked, each.probe

    return key(one) == key(other)


def _finished(drafts: Sequence[_Draft]) -> list[Setting]:
    baselines = {draft.label: _baseline(draft, drafts) for draft in drafts}
    named = {label for label in baselines.values() if label is not None}
    settings = [
        Setting(
            label=draft.label,
            preset=draft.preset,
            world=draft.world,
            baseline=baselines[draft.label],
            is_baseline=draft.label in named,
            seeds=tuple(sorted({*draft.runs, *(each.seed for each in draft.results)})),
            runs=tuple(draft.runs[seed] for seed in sorted(draft.runs)),
            results=tuple(sorted(draft.results, key=lambda each: each.seed)),
        )
        for draft in drafts
    ]

    def family(setting: Setting) -> tuple[str, bool, str]:
        alone = setting.baseline is None or setting.is_baseline
        return (setting.label if alone else str(setting.baseline), alone, setting.label)

    return sorted(settings, key=family)


def _baseline(draft: _Draft, drafts: Sequence[_Draft]) -> str | None:
    wanted = next((run.baseline for run in draft.runs.values()), None)
    of_preset = [other for other in drafts if wanted is not None and other.preset == wanted]
    of_preset.sort(key=lambda other: other.stem != other.preset)
    candidates = [other for other in (*draft.beside, *of_preset) if other is not draft]
    return candidates[0].label if candidates else None
