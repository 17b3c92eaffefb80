"""Grids on a cluster: the cells of `equiwm.grid` on the workers of a Dask scheduler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from equiwm.errors import ConfigError, MachineError, MissingExtraError

CONNECT_SECONDS = 5
"""How long a scheduler has to answer."""

_TALKERS = ("distributed", "tornado", "asyncio")


@dataclass(frozen=True)
class Cluster:
    """A connection to a Dask scheduler.

    Attributes:
        address: of the scheduler.
        client: Dask's own.
    """

    address: str
    client: Any

    def computed(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Generator[Any, None, None]:
        """What the calls of a function give, as they finish; what is left is cancelled when nobody asks for it.

        A worker that dies has its calls made again by another.

        Raises:
            MachineError: the scheduler is lost, or one call has killed several workers.
        """
        from distributed import as_completed

        waiting = set(self.client.map(function, *zip(*calls, strict=True), pure=False)) if calls else set()
        arriving = as_completed(waiting, loop=self.client.loop, with_results=True, raise_errors=False)
        try:
            for future, result in arriving:
                status = future.status
                waiting.discard(future)
                # Held any longer, it would be computed again when the worker that keeps it dies.
                future.release()
                del future
                if status == "error" and type(result[1]).__name__ != "KilledWorker":
                    raise result[1]
                if status == "error":
                    raise MachineError(
                        f"a cell killed one worker after another of the Dask scheduler at {self.address} (out of "
                        "memory?); finished cells are kept. Go on with --resume on larger workers, or without "
                        "--scheduler."
                    )
                if status != "finished":
                    raise MachineError(
                        f"the Dask scheduler at {self.address} is lost; finished cells are kept. Go on with --resume, "
                        "on another --scheduler or without one."
                    )
                yield result
        finally:
            if waiting and self.client.status == "running":
                self.client.cancel(list(waiting), force=True)


_current: list[Cluster] = []


def current_cluster() -> Cluster | None:
    """The cluster of the surrounding `dask_cluster`, if there is one."""
    return _current[-1] if _current else None


@contextmanager
def dask_cluster(address: str) -> Iterator[None]:
    """Inside the block, a grid with `jobs=None` runs on the workers of a Dask scheduler.

    The workers need equiwm and its versions; finished cells come back to this process, which alone writes them. A
    worker that dies has its cells computed again by another; results are functions of the cells, and kept by key.

    Args:
        address: of the scheduler, `tcp://host:8786`, or `tls://host:8786` with Dask's own configuration of keys.

    Raises:
        MissingExtraError: dask is not installed.
        ConfigError: no scheduler at that address, or one without workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("--scheduler needs dask: pip install 'equiwm[cluster]'.") from None

    class Connection(Client):
        """Closed below; what was never connected has nothing to close, for which Dask would wait."""

        def __del__(self) -> None:
            pass

    with _silent():
        try:
            client = Connection(address, timeout=CONNECT_SECONDS, set_as_default=False)
        # Dask's own, for an address, keys or a configuration that it does not like: OSError, ValueError, TypeError, ...
        except Exception as error:
            said = str(error).strip().splitlines()
            reason = said[0] if said else type(error).__name__
            raise ConfigError(f"--scheduler: no Dask scheduler at '{address}' ({reason}).") from None
        with client:
            if not client.scheduler_info()["workers"]:
                raise ConfigError(
                    f"--scheduler: the scheduler at '{address}' has no workers; start some: dask worker {address}"
                )
            _current.append(Cluster(address, client))
            try:
                yield
            finally:
                _current.pop()


@contextmanager
def _silent() -> Iterator[None]:
    """Dask and what it stands on log every lost connection, with tracebacks; what is wrong is raised as well."""
    known = [logging.getLogger(name) for name in tuple(logging.Logger.manager.loggerDict)]
    silenced = [each for each in known if each.name.partition(".")[0] in _TALKERS and not each.disabled]
    for logger in silenced:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in silenced:
            logger.disabled = False
