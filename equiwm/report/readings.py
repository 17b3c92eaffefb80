"""The numbers of one invocation of a command, under flat names: what tables and the tidy CSV are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from equiwm.report.closed_loop import orientation_means

Entry = Mapping[str, Any]

STALE = (ImportError, KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What an entry raises that another version of equiwm wrote, or that is damaged."""


@dataclass(frozen=True)
class Reading:
    """What one invocation measured.

    Attributes:
        variant: what was asked for (`SO2, float32`); readings of several seeds are summarised within a variant.
        probe: what it was measured on (`36 bins x 500 transitions`); only readings of the same probe are comparable.
        parameters: trained scalars, where the entry says so.
        numbers: name -> value, None where it is missing or not finite. A name ends in `@` and where the number was
            taken if there are several (`relative_residual@16`, `readout_seen@block position`), and in `_low` and
            `_high` for the ends of a 95% interval over tasks.
        words: name -> text.
    """

    variant: str
    probe: str
    parameters: int | None
    numbers: Mapping[str, float | None]
    words: Mapping[str, str] = field(default_factory=dict)


def _numbers(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Refuse what is no number, so that a damaged entry is found here and not in a table."""
    for name, value in values.items():
        if value is not None and not isinstance(value, int | float):
            raise TypeError(f"{name}: got {value!r}, expected a number")
    return {name: None if value is None else float(value) for name, value in values.items()}


def _kind(entry: Entry) -> str:
    return f"{entry['group'].upper()}, {entry['dtype']}"


def _train(entry: Entry) -> Reading:
    names = ("transitions", "first_loss", "final_loss", "latent_std", "effective_rank", "weights_moved", "seconds")
    return Reading("", "", int(entry["parameters"]), _numbers({name: entry[name] for name in names}))


def _verify(entry: Entry) -> Reading:
    trained, control = entry["trained"], entry["control"]
    numbers = {
        "initial_residual": entry["init"]["relative_composed"],
        **{f"{part}_residual": trained[part] for part in ("encoder", "predictor")},
        "relative_residual": trained["relative_composed"],
        **{key: trained[key] for key in ("max_abs", "cost_drift", "latent_std", "effective_rank")},
        "control_residual": control["relative_composed"],
        "control_cost_drift": control["cost_drift"],
        "weights_moved": entry["weights_moved"],
        "passed": entry["passed"],
    }
    probe = f"{entry['samples']} elements x {entry['transitions']} transitions"
    return Reading(_kind(entry), probe, None, _numbers(numbers), {"verdict": str(entry["verdict"])})


def _sweep(entry: Entry) -> Reading:
    numbers = {key: entry[key] for key in ("seen", "worst_ood", "ood_factor", "flatness")}
    for target, readout in entry["readout"].items():
        words = target.replace("_", " ")
        numbers |= {f"readout_{key}@{words}": readout[key] for key in ("seen", "worst_unseen", "action_only")}
    excess = entry["symmetry_excess"]
    words = {}
    if excess is not None:
        numbers |= {"excess_world_residual": excess["world"], "excess_model_residual": excess["model"]}
        words["excess"] = "agree" if excess["agree"] else "disagree"
    numbers |= {f"relmse@{bin_['label']}": bin_["relmse"] for bin_ in entry["bins"]}
    probe = f"{len(entry['bins'])} bins x {entry['transitions']} transitions"
    return Reading(_kind(entry), probe, int(entry["parameters"]), _numbers(numbers), words)


def _rollout(entry: Entry) -> Reading:
    names = (
        *("seen_relmse", "ood_relmse", "ood_factor", "relative_residual", "max_abs"),
        *("relmse_state", "ood_relmse_state"),
    )
    numbers = {
        f"{name}@{horizon}": value
        for name in names
        for horizon, value in zip(entry["horizons"], entry[name], strict=True)
    }
    probe = f"{max(entry['sequences'])} sequences, {entry['elements']} elements"
    return Reading(_kind(entry), probe, int(entry["parameters"]), _numbers(numbers))


def _closed_loop(entry: Entry) -> Reading:
    means = orientation_means(entry)
    numbers: dict[str, Any] = {
        "error_seen_deg": means[0],
        "error_unseen_deg": sum(means[1:]) / len(means[1:]),
        "unseen_minus_seen_deg": entry["ood_minus_seen"]["mean"],
        "unseen_over_seen": entry["ood_over_seen"]["ratio"],
        **{key: entry[key] for key in ("paired_abs_max_deg", "paired_abs_median_deg", "paired_above")},
        "paired_excluded": entry["paired_excluded"],
    }
    for name, key in (("unseen_minus_seen_deg", "ood_minus_seen"), ("unseen_over_seen", "ood_over_seen")):
        numbers |= dict(zip((f"{name}_low", f"{name}_high"), entry[key]["ci95"], strict=True))
    for which, rates in entry["success_rate"].items():
        numbers |= {
            f"success_{which}_seen": rates["seen"],
            f"success_{which}_unseen": rates["ood"],
            f"success_{which}_worst": min(rates["each"]),
        }
    closed = entry["fraction_closed"]
    numbers |= {"gap_closed_seen": closed["seen"], "gap_closed_unseen": closed["ood"]}
    for line in entry["references"]:
        numbers |= {f"reference_{key}@{line['name']}": line[key] for key in ("error_deg", "fraction_closed", "success")}
    usual = {"dtype": "float64", "method": "cem"}
    rest = [f", {entry[key]}" for key, value in usual.items() if entry[key] != value]
    variant = f"{entry['planner']} planner, goal {entry['goal']}{''.join(rest)}"
    probe = f"{entry['group'].upper()}, {entry['tasks']} tasks x (1 + {len(entry['orbit'])}) orientations"
    words = {"verdict": str(entry["verdict"])}
    return Reading(variant, probe, int(entry["parameters"]), _numbers(numbers), words)


READERS: dict[str, Callable[[Entry], Reading]] = {
    "train": _train,
    "verify_equivariance": _verify,
    "sweep_group": _sweep,
    "rollout": _rollout,
    "closed_loop": _closed_loop,
}
"""Section of a training's metrics.json -> its reader, which raises one of `STALE` on what it does not know."""
