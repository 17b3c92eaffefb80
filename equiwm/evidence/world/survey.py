"""Every body of Gymnasium and every world of this package, under every symmetry that it offers: `docs/worlds.md`.

A row is one check. Each is written beside the document as soon as it is done, and taken from there by `--resume`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from equiwm.config import load, preset_names
from equiwm.disk.files import write_atomic
from equiwm.disk.strict_json import plain
from equiwm.environments.making import make_environment
from equiwm.errors import DataError, EquiwmError, ResultError
from equiwm.evidence.world.bodies import body_probe, mended, offered, with_verdict
from equiwm.evidence.world.check import check_world, compared
from equiwm.evidence.world.worlds import preset_probe
from equiwm.tables.table import Table, number
from equiwm.worlds.factory import build_world

STATES_OF_A_BODY, STATES_OF_OTHERS = 12, 48
_MORE = (("vn-2d", "o2", ""), ("vn-2d", "se2", ""), ("vn-body", None, "world.cone=pyramidal"))
"""Presets whose worlds are used under other groups than their own, or with MuJoCo's default cone."""
_VERSIONS = ("-v4", "-v5")
_OURS = "vn"
"""Presets of one world are many: a row is called by one of these."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One check.

    Attributes:
        world: `gym:ENV_ID`, or a preset.
        group: the symmetry; None is the world's own.
        setting: of the world, or empty.
    """

    world: str
    group: str | None
    setting: str = ""

    @property
    def key(self) -> str:
        """Its name in the stored results."""
        return f"{self.world} {self.group or 'own'} {self.setting}".strip()

    @property
    def command(self) -> str:
        """What makes it."""
        group = f" --group {self.group}" if self.group else ""
        return f"equiwm check-world {self.world}{group}" + (f" --set {self.setting}" if self.setting else "")


def rows() -> Iterator[Row | tuple[str, str]]:
    """Every check; of an environment that cannot be made its name and the reason."""
    import gymnasium

    for name, spec in gymnasium.registry.items():
        if "mujoco" not in str(spec.entry_point) or not name.endswith(_VERSIONS):
            continue
        try:
            groups = offered(make_environment(name))
        except DataError as error:
            yield name, str(error)
            continue
        yield from (Row(f"gym:{name}", group) for group in groups)
    seen = set()
    for preset in sorted(preset_names(), key=lambda name: (not name.startswith(_OURS), name)):
        config = load(preset).world
        if config.recorded:
            continue
        world = build_world(config)
        if (world.name, str(world.group)) not in seen:
            seen.add((world.name, str(world.group)))
            yield Row(preset, None)
    yield from (Row(*each) for each in _MORE)


def check_row(row: Row, seed: int) -> dict[str, Any]:
    """One check as plain data, its repairs tried."""
    settings = [row.setting] if row.setting else []
    if not row.world.startswith("gym:"):
        return check_world(preset_probe(row.world, row.group, settings), states=STATES_OF_OTHERS, seed=seed).as_dict()
    name, group = row.world.removeprefix("gym:"), row.group or ""
    result = check_world(body_probe(name, group, settings), states=STATES_OF_A_BODY, seed=seed)
    probe = mended(name, group, result.causes, settings)
    found = result.as_dict()
    if probe is not None:
        verdict = compared(probe, max(result.horizons), states=STATES_OF_A_BODY, seed=seed)[1].verdict
        found["causes"] = [each.as_dict() for each in with_verdict(result.causes, verdict)]
    return found


def survey(document: Path, *, seed: int, resume: bool, say: Say) -> list[dict[str, Any]]:
    """Make the document, and beside it its results as JSON.

    Args:
        document: the Markdown file; results stand in a file of its name ending in `.json`.
        seed: of all checks.
        resume: take over the rows that are there, if they were made by the same versions and seed.
        say: told of every row.

    Raises:
        ResultError: stored results that cannot be read, or of other versions.
    """
    store = document.with_suffix(".json")
    made = {"seed": seed, "versions": _versions()}
    data: dict[str, Any] = {**made, "rows": {}, "left_out": {}}
    if resume and store.exists():
        data = _stored(store, made)
    order: list[str] = []
    for row in rows():
        if isinstance(row, tuple):
            data["left_out"][row[0]] = row[1]
            continue
        order.append(row.key)
        if row.key in data["rows"]:
            continue
        say(row.command)
        try:
            found = plain(check_row(row, seed))
        except EquiwmError as error:
            data["left_out"][row.key] = str(error)
            continue
        data["rows"][row.key] = {"command": row.command, **found}
        write_atomic(store, json.dumps(data, indent=1) + "\n")
    data["rows"] = {key: data["rows"][key] for key in order if key in data["rows"]}
    write_atomic(store, json.dumps(data, indent=1) + "\n")
    write_atomic(document, text_of(data))
    return list(data["rows"].values())


def _stored(store: Path, made: dict[str, Any]) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(store.read_text(encoding="utf-8"))
        same = {key: data[key] for key in made} == made and isinstance(data["rows"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(
            f"{store} cannot be resumed ({type(error).__name__}): remove it, or leave --resume out."
        ) from None
    if not same:
        raise ResultError(f"{store} was made with other versions or another seed: leave --resume out.")
    return data


def _versions() -> dict[str, str]:
    found = {}
    for name in ("equiwm", "gymnasium", "mujoco", "gym-pusht", "pymunk"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def text_of(data: dict[str, Any]) -> str:
    """The document of stored results."""
    found = list(data["rows"].values())
    head = (
        "world",
        "symmetry",
        "verdict",
        "1 step",
        "5 steps",
        "20 steps",
        "60 steps",
        "one ulp",
        "reward",
        "observation",
    )
    table = [
        (
            f"`{each['world']}`",
            each["group"],
            each["verdict"],
            *(number(value, 2) for value in each["residual"]),
            number(each["rounding_growth"][-1], 2),
            each["reward"]["verdict"],
            each["observation"]["verdict"],
        )
        for each in found
    ]
    note = (
        "Residuals: RMS over the pairs of the worst channel, relative to how far it moves. 'One ulp': what a rounding "
        "of the start grows to in 60 steps without any group element, the median rollout."
    )
    parts = [
        _INTRODUCTION,
        Table("Verdicts", head, table, (note,)).markdown(),
        "## What breaks it, and what mends it\n",
    ]
    for each in found:
        if each["verdict"] in ("exact", "precision-limited"):
            continue
        lines = [f"**`{each['world']}`, {each['group']}**: {each['verdict']}, {each['region']['where']}.\n"]
        lines += [f"- {cause['text']}" + _mending(cause) for cause in each["causes"]]
        notes = [each[part]["note"] for part in ("reward", "observation") if each[part]["verdict"] == "broken"]
        lines += [f"- {note}" for note in notes]
        parts.append("\n".join([*lines, "", f"```\n{each['command']}\n```\n"]))
    lasting = [each for each in found if each["verdict"] in ("exact", "precision-limited")]
    parts.append("## The commands of the others\n")
    parts.append("```\n" + "\n".join(each["command"] for each in lasting) + "\n```\n")
    if data["left_out"]:
        parts.append("## Left out\n")
        parts.append("\n".join(f"- `{name}`: {why}" for name, why in data["left_out"].items()) + "\n")
    made = ", ".join(f"{name} {number_}" for name, number_ in data["versions"].items())
    parts.append(f"Made with {made}; seed {data['seed']}.\n")
    return "\n".join(parts)


def _mending(cause: dict[str, Any]) -> str:
    if not cause["repair"]:
        return ""
    verdict = f" (with all repairs of this list: {cause['repaired']})" if cause["repaired"] else ""
    return f" `{cause['repair']}`{verdict}"


_INTRODUCTION = """# Which symmetries simulators really have

Every MuJoCo body of Gymnasium and every world of this package, under each symmetry that its model offers: the mirror
that exchanges left and right, turns about the vertical, translations along the floor. States are set, random actions
carried out, and the whole is done again from the transformed start; how, and what the verdicts mean, stands in
[check-world.md](check-world.md). The table, and the results beside it in `worlds.json`, are made by

```
equiwm check-world --survey docs/worlds.md
```
"""
