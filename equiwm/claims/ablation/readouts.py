"""The columns of a world model's row that compare models. No torch here."""

from __future__ import annotations

from equiwm.claims.ablation.kind import Row


def quality_columns(row: Row) -> dict[str, tuple[str, str, str | None]]:
    """What compares models, by name: its columns at seen and at other orientations, and from the action alone.

    Every read-out of a latent model, in alphabetical order; the state's own relMSE of a forward model, which predicts
    nothing else.
    """
    targets = sorted(key.removeprefix("readout_").removesuffix("_action") for key in row if key.endswith("_action"))
    if not targets:
        return {"relMSE of the next state": ("seen_relmse", "ood_relmse", None)}
    return {
        f"read-out, {target.replace('_', ' ')}": (
            f"readout_{target}",
            f"readout_{target}_ood",
            f"readout_{target}_action",
        )
        for target in targets
    }
