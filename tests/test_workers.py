"""Worker processes: what the threads of a library say while work is cancelled, and work that is shared with them."""

import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor
from contextlib import closing

import pytest

from equiwm.workers import closing_quietly, computed_with_help, release


def _raising(name, error):
    def fail():
        raise error

    thread = threading.Thread(target=fail, name=name)
    thread.start()
    thread.join()


def _left_over(name, error):
    try:
        yield 1
        yield 2
    finally:
        _raising(name, error)


@pytest.mark.parametrize(
    ("name", "error", "quiet"),
    [
        ("ExecutorManagerThread", KeyError(9), True),
        ("ExecutorManagerThread", ValueError("other"), False),
        ("another", KeyError(9), False),
    ],
)
def test_only_a_cancelled_piece_goes_without_a_word(monkeypatch, name, error, quiet):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda raised: told.append(raised.exc_value))
    arriving = _left_over(name, error)
    with closing_quietly(arriving):
        assert next(arriving) == 1
        _raising("ExecutorManagerThread", KeyError(1))  # nothing is cancelled yet
    assert [each.args for each in told] == [(1,), *([] if quiet else [error.args])]
    _raising("ExecutorManagerThread", KeyError(2))
    assert told[-1].args == (2,)


def _by(piece: int, slow: float = 0.0):
    time.sleep(slow)
    if piece < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return piece, os.getpid()


@pytest.fixture
def released():
    yield
    release()


def test_work_is_shared_and_stays_in_order(released):
    work = [(piece, 0.001) for piece in range(300)]
    found = list(computed_with_help(_by, work, lambda piece: _by(*work[piece]), 1))
    assert [piece for piece, _ in found] == list(range(300))
    assert found[0][1] != os.getpid(), "the first piece is another process's"
    assert len({process for _, process in found}) == 2
    assert sum(process == os.getpid() for _, process in found) >= 60, "while the other starts, up to the most that wait"


def test_what_fails_here_is_told_in_its_turn(released):
    """Those before it may be enough, or fail themselves."""

    def here(piece):
        raise ArithmeticError(piece)

    with closing(computed_with_help(_by, [(piece,) for piece in range(9)], here, 1)) as arriving:
        assert [next(arriving)[0] for _ in range(2)] == [0, 1]  # what the other was given at first
        with pytest.raises(ArithmeticError, match="2"):
            next(arriving)


def test_a_helper_that_dies_is_told(released):
    with pytest.raises(BrokenExecutor):
        list(computed_with_help(_by, [(-1,), (1,), (2,)], lambda piece: (piece, 0), 1))
