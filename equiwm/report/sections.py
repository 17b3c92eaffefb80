"""Tables of the sections of one run's metrics.json, as the commands print them and the summary keeps them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from equiwm.report.ablation.view import ablation_tables
from equiwm.report.closed_loop import closed_loop_tables
from equiwm.report.reproduce import reproduce_tables
from equiwm.report.sides import sides_of
from equiwm.report.table import Table, number


def train_tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """Section `train`."""
    excluded = sum(entry["excluded"].values())
    rows = [
        ("parameters", f"{entry['parameters']:,}"),
        ("training transitions", f"{entry['transitions']:,}" + (f" ({excluded:,} excluded)" if excluded else "")),
        ("loss, first epoch", number(entry["first_loss"])),
        ("loss, last epoch", number(entry["final_loss"])),
        ("latent spread", number(entry["latent_std"])),
        ("effective rank", number(entry["effective_rank"])),
        ("weights moved |W - W0| / |W0|", number(entry["weights_moved"])),
        ("seconds", f"{entry['seconds']:.1f}"),
    ]
    notes = tuple(f"excluded: {count:,} transitions, {reason}" for reason, count in entry["excluded"].items() if count)
    return [Table(f"{name}: training (seed {entry['seed']})", ("quantity", "value"), rows, notes)]


def seeds_table(entries: Sequence[Mapping[str, Any]], name: str) -> Table:
    """Section `train` of several seeds, with the medians."""
    keys = {"final_loss": "loss", "latent_std": "latent spread", "effective_rank": "rank", "seconds": "seconds"}
    rows = [(str(entry["seed"]), *(number(entry[key]) for key in keys)) for entry in entries]
    rows.append(("median", *(number(statistics.median(entry[key] for entry in entries)) for key in keys)))
    return Table(f"{name}: training of {len(entries)} seeds", ("seed", *keys.values()), rows)


def verify_tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """Section `verify_equivariance`: of a run, or of all its optimisers."""
    if "rows" in entry:
        return [_optimizer_table(entry, name)]
    columns = ("relative residual", "initial", "trained", "control (has to fail)")
    networks = [entry["init"], entry["trained"], entry["control"]]
    labels = {
        "encoder": "encoder",
        "predictor": "predictor",
        "composed": "composed",
        "max_abs": "composed, max absolute",
        "cost_drift": "cost drift",
        "latent_std": "latent spread",
        "effective_rank": "effective rank",
    }
    rows = [(label, *(number(network[key]) for network in networks)) for key, label in labels.items()]
    probe = f"{entry['samples']} elements x {entry['transitions']} transitions"
    title = f"{name}: {entry['group'].upper()}, {entry['dtype']}, {probe}"
    notes = [f"Verdict: {entry['verdict'].upper()}: {entry['reason']}."]
    if entry["breaks_at"]:
        notes.append(f"The first layer that breaks it: {entry['breaks_at']}.")
    tables = [Table(title, columns, rows, tuple(notes))]
    if entry["world"]:
        world = entry["world"]
        kinds = [(kind, f"{world['rollouts'][kind]:,}", number(worst)) for kind, worst in world["worst"].items()]
        heading = f"the world's own residual, {world['steps']} steps, {world['unit']}"
        tables.append(Table(heading, ("kind of rollout", "rollouts", "worst residual"), kinds))
    return tables


def _optimizer_table(entry: Mapping[str, Any], name: str) -> Table:
    keys = {
        "initial": "initial",
        "float32": "residual float32",
        "float64": "residual float64",
        "loss_ratio": "loss last / first",
        "weights_moved": "moved",
        "latent_std": "spread",
        "effective_rank": "rank",
        "control": "control",
    }
    columns = ("optimizer", *keys.values(), "verdict")
    rows = [(row["optimizer"], *(number(row[key]) for key in keys), row["verdict"]) for row in entry["rows"]]
    title = f"{name}: relative composed residual after training, {entry['group'].upper()}"
    return Table(title, columns, rows, tuple(f"failed: {line}" for line in entry["failed"]))


def _is_random(bin_: Mapping[str, Any]) -> bool:
    return str(bin_["label"]).startswith("random ")


def _bin_cells(
    bins: Sequence[Mapping[str, Any]], components: Sequence[str], pick: Callable[[list[float]], float]
) -> list[str]:
    """For each quantity of a side, `pick` over some bins: relMSE, then each component's."""
    values = [[bin_["relmse"] for bin_ in bins]] + [[bin_["components"][part] for bin_ in bins] for part in components]
    return [number(pick(column), 6 if index == 0 else 4) for index, column in enumerate(values)]


def sweep_tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """Section `sweep_group`: error in each bin, what it comes to, and the read-outs."""
    sides = sides_of(entry, name)
    components = list(entry["bins"][0]["components"])
    named = [k for k, bin_ in enumerate(entry["bins"]) if not _is_random(bin_)]
    drawn = [k for k, bin_ in enumerate(entry["bins"]) if _is_random(bin_)]
    groups: list[tuple[str, str, list[int], Callable[[list[float]], float]]] = [
        (entry["bins"][k]["label"], entry["bins"][k]["seen"], [k], max) for k in named
    ]
    if drawn:
        groups.append((f"random, median of {len(drawn)}", "false", drawn, statistics.median))
        groups.append((f"random, worst of {len(drawn)}", "false", drawn, max))
    rows = []
    for label, seen, members, pick in groups:
        cells = [_bin_cells([side["bins"][k] for k in members], components, pick) for side in sides.values()]
        rows.append((label, seen, *(cell for column in zip(*cells, strict=True) for cell in column)))
    headings = (*sides, *(f"{side} {part}" for part in components for side in sides))
    latent = "Each model's relMSE is in its own latent: it shows flatness and is not compared between models."
    title = (
        f"{name}: one-step relMSE over {entry['group'].upper()}, {entry['dtype']}, {entry['transitions']} transitions"
    )
    return [
        Table(title, ("bin", "seen", *headings), rows, () if components else (latent,)),
        Table(f"{name}: summary", ("quantity", *sides), _sweep_summary(sides), _excess_notes(sides)),
    ]


def _sweep_summary(sides: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    quantities = {
        "seen": "relMSE, seen",
        "worst_ood": "relMSE, worst unseen",
        "ood_factor": "OOD factor",
        "flatness": "flatness",
    }
    rows = [(label, *(number(side[key], 6) for side in sides.values())) for key, label in quantities.items()]
    first = next(iter(sides.values()))
    if len(first["part_flatness"]) > 1:
        words = {"translation": "translation alone (centring)", "rotation": "rotation alone (the network)"}
        for part in first["part_flatness"]:
            label = f"flatness, {words.get(part, part)}"
            rows.append((label, *(number(side["part_flatness"][part]) for side in sides.values())))
    rows.append(("parameters", *(f"{side['parameters']:,}" for side in sides.values())))
    for target in first["readout"]:
        words_of = target.replace("_", " ")
        for key, label in (("seen", "seen"), ("worst_unseen", "worst unseen"), ("action_only", "action alone")):
            cells = (number(side["readout"][target][key]) for side in sides.values())
            rows.append((f"read-out, {words_of}: {label}", *cells))
    return rows


def _excess_notes(sides: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    notes = []
    for name, side in sides.items():
        excess = side["symmetry_excess"]
        if excess is None:
            continue
        group = excess["group"].upper()
        has = {True: "carries", False: "does not carry"}
        verdict = (
            "they agree"
            if excess["agree"]
            else "the model carries a symmetry that its world does not have"
            if excess["model_symmetric"]
            else "the model misses a symmetry that its world has"
        )
        notes.append(
            f"{name}: its world {has[excess['world_symmetric']]} {group} (residual {number(excess['world'])}), "
            f"the model {has[excess['model_symmetric']]} it (residual {number(excess['model'])}): {verdict}."
        )
    return tuple(notes)


def rollout_tables(entry: Mapping[str, Any], name: str) -> list[Table]:
    """Section `rollout`: one row a horizon, the model's table and its baseline's."""
    return [_rollout_table(side, model) for model, side in sides_of(entry, name).items()]


def _rollout_table(side: Mapping[str, Any], name: str) -> Table:
    columns = {
        "seen_relmse": "relMSE seen",
        "ood_relmse": "unseen",
        "ood_factor": "OOD factor",
        "relmse_state": "relMSE of the state, seen",
        "ood_relmse_state": "unseen",
        "relative_residual": "residual",
        "max_abs": "max absolute",
    }
    digits = {"ood_factor": 6}
    rows = [
        (
            str(horizon),
            str(side["sequences"][k]),
            *(number(side[key][k], digits.get(key, 3)) for key in columns),
        )
        for k, horizon in enumerate(side["horizons"])
    ]
    off = [None if factor is None else abs(factor - 1.0) for factor in side["ood_factor"]]
    worst = [number(None if None in values else max(values)) for values in (off, side["relative_residual"])]
    notes = [f"Over the horizons, |OOD factor - 1| is at most {worst[0]} and the residual at most {worst[1]}."]
    notes[0] += f" Latent spread {number(side['latent_std'])}."
    notes += [
        f"excluded at H = {horizon}: "
        + "; ".join(f"{count:,} sequences, {reason}" for reason, count in reasons.items())
        for horizon, reasons in zip(side["horizons"], side["excluded"], strict=True)
        if reasons
    ]
    notes += [f"H = {horizon} was not measured: {reason}" for horizon, reason in side["unmeasured"].items()]
    if side["space"] == "latent":
        notes.append("relMSE is in the model's own latent: it shows flatness and is not compared between models.")
    title = (
        f"{name}: rollouts, {side['group'].upper()}, {side['dtype']}, {side['elements']} elements, "
        f"{side['parameters']:,} parameters"
    )
    return Table(title, ("H", "sequences", *columns.values()), rows, tuple(notes))


SECTIONS = {
    "train": train_tables,
    "verify_equivariance": verify_tables,
    "sweep_group": sweep_tables,
    "rollout": rollout_tables,
    "closed_loop": closed_loop_tables,
    "ablate": ablation_tables,
    "reproduce": reproduce_tables,
}
"""Section of metrics.json -> its tables. Sections of later versions are left out, not refused."""


def section_tables(metrics: Mapping[str, Any], name: str) -> list[Table]:
    """Tables of every section, each variant apart.

    An entry that lacks something (another version of equiwm wrote it) becomes a title that says so.
    """
    tables = []
    for section, build in SECTIONS.items():
        if section in metrics:
            entry = metrics[section]
            for variant, content in entry.get("variants", {"": entry}).items():
                try:
                    tables += build(content, name)
                except (ImportError, KeyError, TypeError, ValueError, AttributeError):
                    stale = f"{section} {variant}".strip()
                    tables.append(Table(f"{name}: {stale} was written by another version; run it again", ("",), []))
    return tables
