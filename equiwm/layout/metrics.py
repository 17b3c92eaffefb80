"""`metrics.json`: the results of a folder, by command and invocation, however many processes write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equiwm.disk.drafts import remove_stale
from equiwm.disk.files import reason, write_atomic
from equiwm.disk.locks import hold
from equiwm.disk.strict_json import canonical_json, plain, read_json
from equiwm.disk.text import MOST_TEXT
from equiwm.errors import RunError
from equiwm.printable import quoted
from equiwm.results.door import SCHEMA as RESULT_SCHEMA

LOCK_SECONDS = 60.0
"""How long a writer of metrics.json waits for another; each holds the lock for milliseconds."""


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of `folder`/metrics.json, empty if there is none yet.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / "metrics.json"
    data = read_json(path) if os.path.lexists(path) else {}
    for section, entry in data.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("variants", {}), dict):
            raise RunError(f"{path} is damaged (section {quoted(section)}); move it away and run again.")
    return data


def weights_named(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Which weights the results of a run say they belong to: section and variant -> SHA-256 of the checkpoint.

    Those of a baseline, which has weights of its own, are not among them; results of schema 1 do not say.
    """
    found = {}
    for section, entry in metrics.items():
        for variant, result in (entry.get("variants") or {"": entry}).items():
            sha = result.get("checkpoint_sha256") if isinstance(result, Mapping) else None
            if isinstance(sha, str):
                found[f"{section} {variant}".strip()] = sha
    return found


def record_metrics(
    folder: Path,
    section: str,
    variant: str | None,
    result: Mapping[str, Any],
    baseline: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the result of one invocation into `folder`/metrics.json, under a lock and atomically.

    The section's top level becomes this result; `variants[variant]` keeps it beside those of other variants.

    Args:
        folder: a run, or the folder given by `--out`; created if it is missing.
        section: the command, as metrics.json names it (`sweep_group`).
        variant: canonical key of the invocation (`so3`, `se3/float64`); None for a command without variants.
        result: JSON data, with the schema it was written in (ours if it does not say); numpy values are unpacked,
            non-finite numbers become null.
        baseline: the baseline's result with its preset, seed and checkpoint hash; stored as `baseline`, unless it
            stands in the result already.

    Returns:
        The content of metrics.json as it was written.

    Raises:
        RunError: metrics.json is damaged, cannot be written, is locked for too long, or would become larger than what
            is read again. It stays as it is.
    """
    reserved = {"variants", "baseline"} & set(result)
    if "variants" in reserved or (reserved and baseline is not None):
        raise ValueError(f"the result of {section} has keys of metrics.json itself: {sorted(reserved)}")
    entry = {"schema": RESULT_SCHEMA, **plain(result)}
    if baseline is not None:
        entry["baseline"] = {"schema": RESULT_SCHEMA, **plain(baseline)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold(folder / ".metrics.lock", str(folder / "metrics.json"), wait=LOCK_SECONDS):
            for place in (folder, folder / "figures"):
                remove_stale(place)
            data = read_metrics(folder)
            variants = data.get(section, {}).get("variants", {})
            if variant is not None:
                variants[variant] = entry
            data[section] = {**entry, "variants": variants} if variants else entry
            text = canonical_json(data, indent=2) + "\n"
            _require_readable(text, folder / "metrics.json")
            write_atomic(folder / "metrics.json", text)
            return data
    except OSError as error:
        raise RunError(f"cannot write {folder / 'metrics.json'}: {reason(error)}.") from None


def _require_readable(text: str, path: Path) -> None:
    """Refuse to write what `read_metrics` would refuse to read: every command on the folder would fail from then on.

    Raises:
        RunError: it is too large.
    """
    size = len(text.encode())
    if size > MOST_TEXT:
        raise RunError(
            f"{path} would have {size / 2**20:.1f} MB with this result, and at most {MOST_TEXT >> 20} MB are read "
            "again; nothing was added. Give the result a folder of its own, or ask for less at once."
        )
