"""The read-outs in a row of a world model, and which of its columns compare models. No torch here."""

from __future__ import annotations

from equiwm.claims.ablation.kind import Row


def targets(row: Row) -> list[str]:
    """Names of the read-outs that a row holds; none of a forward model's."""
    return [key.removeprefix("readout_").removesuffix("_action") for key in row if key.endswith("_action")]


def quality(row: Row) -> tuple[str, str]:
    """The columns that compare models, at seen and at other orientations.

    The state's own relMSE where that is what the model predicts, else the error of the first read-out.
    """
    found = targets(row)
    return (f"readout_{found[0]}", f"readout_{found[0]}_ood") if found else ("seen_relmse", "ood_relmse")


def quality_words(row: Row) -> str:
    """What `quality` measures."""
    found = targets(row)
    return f"read-out error of the {found[0].replace('_', ' ')}" if found else "relMSE of the next state"
