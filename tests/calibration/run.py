"""Measure `check-data`: how often it calls symmetric logs broken, and finds breaks. Runs in pieces, keeps what it has.

    PYTHONPATH=tests python -m calibration.run FILE.csv --sets 20 --minutes 10 [--first K] [--only NAME ...]

One row a set: stratum, seed, verdict, p, dependence, placebo, seconds of the processor. Sets that the file has are not
run again.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from pathlib import Path

import torch
from scipy.stats import binomtest

from calibration.symmetric import BROKEN, STRATA
from equiwm.evidence.data.check import check_observed
from equiwm.symmetry.group import Group

COLUMNS = ("stratum", "seed", "verdict", "p", "dependence", "placebo_p", "seconds")
FIRST_SEED = 5000


def measured(name: str, seed: int) -> dict[str, object]:
    """One row."""
    stratum = {**STRATA, **BROKEN}[name]
    data = stratum.make(seed)
    start = time.process_time()
    result = check_observed(data, Group.parse(stratum.group), seed=seed)
    seconds = time.process_time() - start
    values = (name, seed, result.verdict, result.p_value, result.dependence, result.placebo_p, seconds)
    return {
        key: f"{value:.4g}" if isinstance(value, float) else value for key, value in zip(COLUMNS, values, strict=True)
    }


def rows_of(path: Path) -> list[dict[str, str]]:
    """What a file has."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary(rows: list[dict[str, str]]) -> str:
    """Counts a stratum, and of all symmetric sets, with 95% intervals of the share."""
    by: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by[row["stratum"]].append(row)
    lines = ["| logs | sets | broken | p <= 0.05 | cannot tell | CPU s |", "|---|---:|---:|---:|---:|---:|"]
    for names, title in ((STRATA, "all symmetric"), (BROKEN, "")):
        pooled = [row for name in names for row in by.get(name, [])]
        for name, found in [*((name, by[name]) for name in names if name in by), *([(title, pooled)] if title else [])]:
            broken = sum(row["verdict"] == "broken" for row in found)
            if not found:
                continue
            low, high = binomtest(broken, len(found)).proportion_ci()
            small = sum(float(row["p"]) <= 0.05 for row in found)
            open_ = sum(row["verdict"] == "cannot tell" for row in found)
            seconds = max(float(row["seconds"]) for row in found)
            share = f"{broken} ({broken / len(found):.1%}; {low:.1%} to {high:.1%})"
            lines.append(f"| {name} | {len(found)} | {share} | {small} | {open_} | {seconds:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, one set of each stratum after another, until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--sets", type=int, default=20, help="of each stratum")
    parser.add_argument("--first", type=int, default=0, help="the first set of each stratum")
    parser.add_argument("--skip", nargs="*", default=(), help="leave out strata whose name holds one of these")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", nargs="*", default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    done = {(row["stratum"], int(row["seed"])) for row in rows_of(options.file)}
    until = time.monotonic() + 60 * options.minutes
    fresh = not options.file.exists()
    with options.file.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        for k in range(options.first, options.first + options.sets):
            for name in options.only or [*STRATA, *BROKEN]:
                if any(part in name for part in options.skip):
                    continue
                if (name, FIRST_SEED + k) in done:
                    continue
                if time.monotonic() > until:
                    break
                writer.writerow(measured(name, FIRST_SEED + k))
                file.flush()
    print(summary(rows_of(options.file)))


if __name__ == "__main__":
    main()
