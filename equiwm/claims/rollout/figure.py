"""The figure of rollouts: residual and OOD factor against the horizon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from equiwm.claims.rollout.result import RolloutResult
from equiwm.figures.canvas import canvas, kept, legend_below, mark_level, models_of, save, show_one
from equiwm.figures.medium import text_size


def rollout_frame(sides: Mapping[str, RolloutResult]) -> pd.DataFrame:
    """The rows that a rollout's figure is drawn from: one a model and horizon."""
    frames = [
        pd.DataFrame(
            {
                "model": model,
                "horizon": side.horizons,
                "sequences": side.sequences,
                "seen_relmse": side.seen_relmse,
                "ood_relmse": side.ood_relmse,
                "ood_factor": side.ood_factor,
                "relative_residual": side.relative_residual,
                "max_abs": side.max_abs,
                "relmse_state": side.relmse_state,
                "ood_relmse_state": side.ood_relmse_state,
            }
        )
        for model, side in sides.items()
    ]
    return pd.concat(frames, ignore_index=True)


def rollout_figure(sides: Mapping[str, RolloutResult], folder: Path) -> Path:
    """Residual of the H-step composition, and OOD factor, against the horizon H, log-log, model and baseline.

    Args:
        sides: results by name of model, as the legend has them.
        folder: the run's `figures/`.

    Returns:
        The path of the PNG; the CSV beside it holds what is drawn. A horizon at which a model diverged is a gap.
    """
    from matplotlib.ticker import NullLocator

    frame, first = rollout_frame(sides), next(iter(sides.values()))
    name = f"rollout_{first.group}_{first.dtype}"
    if (known := kept(frame, folder, name)) is not None:
        return known
    horizons = sorted(set(frame["horizon"]))
    with canvas(8.4, 3.7) as figure:
        panels = figure.subplots(1, 2, sharex=True)
        titles = {"relative_residual": "relative residual of H steps", "ood_factor": "relMSE, unseen / seen"}
        for panel, (column, title) in zip(panels, titles.items(), strict=True):
            for model, rows, look in models_of(frame):
                panel.plot(rows["horizon"], rows[column], label=model, **look)
            if not (frame[column] > 0).any():
                panel.set_ylim(0.1, 10.0)  # every model diverged: an empty log axis has no limits of its own
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xticks(horizons, [str(horizon) for horizon in horizons])
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xlabel("horizon H (steps)")
            panel.set_title(title, fontsize=text_size(10), y=1.0)  # nothing stands above a log axis
        show_one(panels[1])
        mark_level(panels[1], 1.0)
        legend_below(figure, panels[0])
        return save(figure, frame, folder, name)
