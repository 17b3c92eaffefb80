"""What the benchmarks share: a table that each adds to, and one thread for all of them."""

from __future__ import annotations

import pytest
import torch

from benchmarks.board import Board

BOARD = Board()


@pytest.fixture
def board() -> Board:
    """The table of this session, shown when it ends."""
    return BOARD


@pytest.fixture(autouse=True)
def _one_thread():
    """These tensors are small: two threads are slower than one, and far noisier."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pytest_terminal_summary(terminalreporter) -> None:
    """`pytest -m benchmark -s` ends with one table."""
    if not BOARD.rows:
        return
    from rich.console import Console

    from equiwm.tables.terminal import on_terminal

    console = Console(file=terminalreporter._tw._file, width=terminalreporter._tw.fullwidth)
    for part in on_terminal(BOARD.table, console.width):
        console.print(part, crop=False)
