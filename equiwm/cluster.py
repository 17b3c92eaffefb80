"""Grids on a cluster: the cells of `equiwm.grid` through joblib's Dask backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from equiwm.errors import ConfigError, MissingExtraError

CONNECT_SECONDS = 5
"""How long a scheduler has to answer."""


@contextmanager
def dask_cluster(address: str) -> Iterator[None]:
    """Inside the block, a grid with `jobs=None` runs on the workers of a Dask scheduler.

    The workers need equiwm and its versions; finished cells come back to this process, which alone writes them. A
    worker that dies has its cells computed again by another; results are functions of the cells, and kept by key.

    Args:
        address: of the scheduler, `tcp://host:8786`.

    Raises:
        MissingExtraError: dask is not installed.
        ConfigError: no scheduler at that address, or one without workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("--scheduler needs dask: pip install 'equiwm[cluster]'.") from None
    import joblib

    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"--scheduler: no Dask scheduler at '{address}' ({reason}).") from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise ConfigError(
                f"--scheduler: the scheduler at '{address}' has no workers; start some: dask worker {address}"
            )
        with joblib.parallel_config(backend="dask", client=client):
            yield
