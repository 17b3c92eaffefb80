"""Worker processes: what the threads of a library say while work is cancelled."""

import threading

import pytest

from equiwm.workers import closing_quietly


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
