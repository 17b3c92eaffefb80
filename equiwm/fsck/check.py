"""Everything that can be known of one run from its files: each by itself, and whether they belong together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from equiwm.claims.claim import AnyClaim
from equiwm.claims.registry import Stored, stored_results
from equiwm.claims.training.claim import CLAIM as TRAINING
from equiwm.disk.locks import is_held
from equiwm.errors import ResultError
from equiwm.fsck.cells import wrong_cells
from equiwm.fsck.drafts import stale_drafts
from equiwm.fsck.finding import Finding, Findings
from equiwm.fsck.policy import check_policy
from equiwm.layout.history import require_history
from equiwm.layout.metrics import read_metrics
from equiwm.loading import model_of, own_data, read_checkpoint
from equiwm.report.weights import is_others, own_weights
from equiwm.results.train import TrainResult
from equiwm.runs import Run
from equiwm.training.run import leaves_resume_point, read_resume_point
from equiwm.worlds.factory import build_world


def check_run(path: Path, claims: Sequence[AnyClaim], trust: Sequence[str] = ()) -> list[Finding]:
    """What is wrong with one run.

    A run that another process is training, or has trained meanwhile, is passed over: its files change while they are
    read.

    Args:
        path: its directory.
        claims: whose results are read.
        trust: modules from outside this package that the run may name although this user has not run it before.
    """
    run = Run(path, tuple(trust))
    if is_held(run.lock_path):
        return []
    before = _last_held(run)
    found = _found(run, claims)
    changed = _last_held(run) != before or is_held(run.lock_path)
    return [] if changed else found


def _last_held(run: Run) -> int | None:
    """When somebody last took or left the run's lock, in nanoseconds, as each writes into its file; None before."""
    try:
        return run.lock_path.stat().st_mtime_ns
    except OSError:
        return None


def _found(run: Run, claims: Sequence[AnyClaim]) -> list[Finding]:
    path, found = run.path, Findings(run.path)
    found.said += [
        Finding(path, f"{draft} was never finished, and its process has ended; equiwm fsck --repair removes it.", draft)
        for draft in stale_drafts(path)
    ]
    if not run.config_path.is_file():
        _check_bare(run, found)
        return found.said
    if found.of(lambda: run.header) is None:
        return found.said
    results = _check_results(run, claims, found)
    for said in wrong_cells(path):
        found.add(said)
    if run.header.kind == "train":
        _check_training(run, results, found)
    elif run.header.kind == "policy":
        check_policy(run, results, found)
    return found.said


def _check_bare(run: Run, found: Findings) -> None:
    """A folder without config.yaml: that of an evaluation with `--out`, or what is left of a run."""
    found.of(lambda: read_metrics(run.path))
    for file in (run.checkpoint, run.resume_point):
        if os.path.lexists(file):
            found.add(f"{file} has no config.yaml beside it, which says what it is; restore config.yaml.")


def _check_results(run: Run, claims: Sequence[AnyClaim], found: Findings) -> list[Stored] | None:
    """The results that are sound; None where it is not known which there are."""
    metrics = found.of(run.metrics)
    if metrics is None:
        return None
    read = list(stored_results(metrics, claims, study=run.header.kind == "study", where=str(run.metrics_path)))
    for each in read:
        if isinstance(each, ResultError):
            found.add(str(each))
    for section, entry in metrics.items():
        variants = entry.get("variants")
        if variants and {key: value for key, value in entry.items() if key != "variants"} not in variants.values():
            found.add(
                f"{run.metrics_path}: {section} is none of its own variants ({', '.join(variants)}); measure one again."
            )
    results = [each for each in read if isinstance(each, Stored)]
    own = found.of(lambda: own_weights(run, metrics))
    for each in results:
        if is_others(each.measured, own):
            found.add(
                f"{run.metrics_path}: {each.claim.name} {each.variant}".rstrip()
                + f" was measured on other weights ({str(each.measured.checkpoint_sha256)[:12]}) than the run has "
                f"({str(own)[:12]}); measure it again, or restore the checkpoint."
            )
    return results


def _check_training(run: Run, results: Sequence[Stored] | None, found: Findings) -> None:
    config = found.of(lambda: run.config)
    model = None if config is None else found.of(lambda: model_of(run, build_world(run.config.world)))
    if config is None or model is None:
        return
    trained = next((each.measured.result for each in results or () if each.claim.name == TRAINING.name), None)
    epochs = config.training.epochs
    if os.path.lexists(run.checkpoint):
        read = found.of(lambda: read_checkpoint(run, model))
        binding = read[1] if read else None
        if read and (binding is None or binding.epoch is not None):
            sha = None if binding is None else binding.history_sha256
            found.of(lambda: require_history(run.history_path, epochs, sha, run.checkpoint))
            _check_history(run, trained, found)
        if os.path.lexists(run.resume_point) and leaves_resume_point(run):
            found.add(
                f"{run.resume_point} is left from a training that is complete; equiwm fsck --repair removes it.",
                run.resume_point,
            )
        elif os.path.lexists(run.resume_point):
            found.add(f"{run.resume_point} is no state of this training, which is complete; move it away.")
        by_command = run.header.command[:2] == ("equiwm", "train")
        if by_command and trained is not None and not run.summary.is_file():
            found.add(f"{run.path} has no summary; this writes it: {run.resume_command}")
        if results is not None and trained is None and (binding is None or binding.epoch is not None):
            found.add(f"{run.metrics_path} has lost its section 'train'; restore it, or train under another --name.")
    elif os.path.lexists(run.resume_point):
        found.of(lambda: read_resume_point(run, model, model.encoder))
    elif trained is not None:  # a copy without its checkpoint, which is the heavy part
        found.of(lambda: require_history(run.history_path, epochs, None, run.metrics_path))
        _check_history(run, trained, found)
    else:
        found.of(run.history)
    if os.path.lexists(run.data_path):
        found.of(lambda: own_data(run))


def _check_history(run: Run, trained: object, found: Findings) -> None:
    """Whether history and result are of the same training, which was that of the run's seed."""
    history = found.of(run.history)
    if not history or not isinstance(trained, TrainResult):
        return
    if trained.seed != run.header.seed:
        found.add(
            f"{run.metrics_path}: train is of seed {trained.seed}, and {run.config_path} of seed {run.header.seed}; "
            "restore the file that belongs there."
        )
    if history[-1]["epoch"] > run.config.training.epochs:
        found.add(
            f"{run.history_path} goes on to epoch {history[-1]['epoch']} of {run.config.training.epochs}; restore it."
        )
    elif (history[0].get("loss"), history[-1].get("loss")) != (trained.first_loss, trained.final_loss):
        found.add(
            f"{run.history_path} is not the history of the training in {run.metrics_path}: the first or the last loss "
            "is another; restore the file that belongs there."
        )
