"""Runs with results that nobody measured, made in no time: for tests of what reads them."""

from __future__ import annotations

from pathlib import Path

from equiwm.claims.closed_loop.result import (
    ClosedLoopResult,
    GapClosed,
    MeanEstimate,
    PairedTestResult,
    RatioEstimate,
    Reached,
    ReferenceLine,
    Solved,
    Success,
    SuccessRates,
)
from equiwm.claims.residual.result import ModelResidual, VerifyResult
from equiwm.claims.rollout.result import RolloutResult
from equiwm.claims.sweep.result import Bin, ReadoutResult, SweepResult, SymmetryExcess
from equiwm.config import load
from equiwm.results.ablation import AblationResult
from equiwm.results.train import TrainResult
from equiwm.runs import Run

VN, MLP = 1_000, 4_000
"""Parameters of the models and baselines made here."""


def sweep(factor: float, parameters: int, group: str = "so2", bins: int = 4, excess: bool = False) -> dict:
    """A sweep with seen error 0.5 and the given OOD factor."""
    errors = [0.5, *[0.5 * factor] * (bins - 1)]
    return SweepResult(
        group=group,
        dtype="float32",
        device="cpu",
        transitions=40,
        excluded={},
        bins=[
            Bin(
                label=str(360 * k // bins),
                part="rotation",
                from_wedge_deg=90.0 * bool(k),
                overlap="none" if k else "full",
                drawn=False,
                relmse=error,
                components={},
                readout={"block": error},
                turn_deg=360.0 * k / bins,
            )
            for k, error in enumerate(errors)
        ],
        seen=0.5,
        worst_ood=0.5 * factor,
        ood_factor=factor,
        flatness=factor - 1,
        part_flatness={"rotation": factor - 1},
        readout={"block": ReadoutResult(0.25, 0.25 * factor, 0.75, 1e-3, True)},
        symmetry_excess=SymmetryExcess("o2", 0.2, 1e-7, False, True, False) if excess else None,
        parameters=parameters,
        seed=1000,
    ).as_dict()


def rollout(factor: float | None, parameters: int) -> dict:
    return RolloutResult(
        group="so2",
        dtype="float32",
        device="cpu",
        space="latent",
        elements=8,
        horizons=[1, 4],
        sequences=[16, 16],
        excluded=[{}, {}],
        seen_relmse=[0.1, 0.2],
        ood_relmse=[0.1, 0.2],
        ood_factor=[1.0, factor],
        relative_residual=[1e-7, 2e-7],
        max_abs=[1e-6, 1e-6],
        relmse_state=[0.1, 0.1],
        ood_relmse_state=[0.1, 0.1],
        unmeasured={},
        latent_std=1.0,
        parameters=parameters,
        seed=1000,
    ).as_dict()


def closed_loop(ratio: float, parameters: int) -> dict:
    return ClosedLoopResult(
        planner="equivariant",
        method="cem",
        goal="pose",
        group="so2",
        dtype="float64",
        device="cpu",
        tasks=2,
        orbit=["90°"],
        scored="best",
        criterion=Reached(18.0, 24.0),
        unit="px",
        initial_error_deg=[35.0, 35.0],
        error_deg=[[10.0, 10.0 * ratio], [6.0, 6.0 * ratio]],
        position_error=[[1.0, 1.0], [2.0, 2.0]],
        solved=Solved([[True, True], [True, True]], [[True, False], [True, True]]),
        paired_pairs=2,
        paired_excluded=0.0,
        paired_abs_max_deg=10.0 * abs(ratio - 1),
        paired_abs_median_deg=8.0 * abs(ratio - 1),
        paired_above=0,
        paired_final_abs_max_deg=0.0,
        paired_ood_minus_seen=MeanEstimate(0.0, (0.0, 0.0)),
        ood_minus_seen=MeanEstimate(8.0 * (ratio - 1), (1.0, 9.0)),
        ood_over_seen=RatioEstimate(ratio, (0.5, 4.5)),
        sign_test=PairedTestResult(0.0, 1.0, 0),
        sign_flip_test=PairedTestResult(0.0, 1.0, 2),
        success_rate=Success(SuccessRates(1.0, 1.0, [1.0]), SuccessRates(1.0, 0.5, [0.5])),
        fraction_closed=GapClosed(0.8, 0.7),
        moved_deg=20.0,
        references=[ReferenceLine("replay", 0.1, 1.0, 1.0)],
        excluded=[],
        verdict="invariant" if ratio == 1 else "not invariant",
        reason="r",
        passed=ratio == 1,
        parameters=parameters,
        seed=1000,
    ).as_dict()


def verify(residual: float) -> dict:
    def network(value: float) -> ModelResidual:
        return ModelResidual(value, value, value, value, 10 * value, value, 1.0, 5.0)

    held = residual < 1e-5
    return VerifyResult(
        group="so2",
        dtype="float32",
        device="cpu",
        samples=4,
        transitions=256,
        tolerance=1e-5,
        verdict="exact" if held else "broken",
        reason="r",
        passed=held,
        init=network(1e-7),
        trained=network(residual),
        control=network(1.8),
        weights_moved=0.5,
        latent_std=1.0,
        effective_rank=5.0,
        breaks_at=None,
        world=None,
        seed=1000,
    ).as_dict()


class Maker:
    """Makes run directories without training anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, preset: str, seed: int = 0, *settings: str, name: str | None = None) -> Run:
        """A complete run, as a reader of results sees it: without a checkpoint."""
        config = load(preset, None, settings).as_dict()
        called = name or (preset if seed == 0 else f"{preset}-s{seed}")
        run = Run.create(self.folder, called, config, seed=seed, command=["equiwm", "train"])
        parameters = VN if preset.startswith("vn") else MLP
        train = TrainResult(parameters, 200, {}, 1.0, 1.0, 2.0, 0.1 * (seed + 1), 1.0, 5.0, 0.5, seed)
        run.record("train", None, train.as_dict())
        return run

    def pair(self, seed: int = 0, factor: float = 16.0) -> Run:
        """A model measured beside a baseline of the same seed."""
        model, baseline = self("vn-2d", seed), self("mlp-2d", seed)
        beside = {"name": baseline.name, "preset": "mlp-2d", "train_seed": seed, "checkpoint_sha256": "0"}
        model.record("sweep_group", "so2/float32", sweep(1.0, VN), {**sweep(factor, MLP), **beside})
        return model

    def study(self, name: str = "ablate-augmentation") -> Run:
        rows = [
            {"arm": arm, "cell": f"coverage={coverage}", "dim": 2, "seed": seed, "parameters": 10, "coverage": coverage}
            | {"seen_relmse": 0.1, "ood_relmse": 0.2, "ood_factor": 2.0 + seed, "relative_residual": 1e-3}
            for arm, coverage in (("vn", None), ("mlp", 90.0), ("mlp", 360.0))
            for seed in (0, 1)
        ]
        result = AblationResult("augmentation", "field", "Is it 100% & enough?", "No_t.", [2], [0, 1], True, rows, [])
        study = Run.create(self.folder, name, {"study": {}}, seed=0, kind="study", command=["equiwm", "ablate"])
        study.record("ablate", None, result.as_dict())
        return study


def everything_in(make: Maker) -> Path:
    """Three seeds of a pair with every section, and a study."""
    for seed, worst in enumerate((12.0, 20.0, 16.0)):
        model = make.pair(seed, worst)
        beside = {"name": f"mlp-2d-s{seed}", "preset": "mlp-2d", "train_seed": seed, "checkpoint_sha256": "0"}
        beside["name"] = beside["name"].removesuffix("-s0")
        model.record("verify_equivariance", "so2/float32", verify(1e-7))
        model.record("rollout", "so2/float32", rollout(1.0, VN), {**rollout(None if seed else 8.0, MLP), **beside})
        model.record("closed_loop", "equivariant/pose", closed_loop(1.0, VN), {**closed_loop(2.0, MLP), **beside})
    make.study()
    return make.folder
