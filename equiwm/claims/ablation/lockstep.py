"""Computations that go on side by side: what several of them ask of one function is done by one call of it.

A computation is a generator. Where it needs what is cheaper for several, a training, it asks (`yield from ask(...)`):
the answer comes there, or the exception is raised there; the rest is plain code. One alone and several together are the
same code. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, TypeVar

from equiwm.boundary import machine_error
from equiwm.locate import RAISED

Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Asked:
    """What a computation waits for.

    Attributes:
        function: of several questions to the answer of each, or the exception that it comes to.
        question: this one.
    """

    function: Callable[[Sequence[Any]], Sequence[Any]]
    question: Any


Asking = Generator[Asked, Any, R]
"""A computation that asks, and comes to an R."""


def ask(function: Callable[[Sequence[Q]], Sequence[R | BaseException]], question: Q) -> Asking[R]:
    """The answer of `function` to one question, which it is given beside those of the other computations.

    Raises:
        BaseException: what the function answers with, if that is an exception.
    """
    answer: R = yield Asked(function, question)
    return answer


def side_by_side(several: Sequence[Asking[R]]) -> list[R | BaseException]:
    """What each computation comes to, or the exception that ended it; the others go on.

    All go on until they ask or end; then each function that was asked is called once, and so on.

    Raises:
        MachineError, OSError, MemoryError: the machine stopped one of them, and with it all.
    """
    found: dict[int, R | BaseException] = {}
    given: dict[int, Any] = dict.fromkeys(range(len(several)))
    with ExitStack() as everything:
        for each in several:
            everything.enter_context(closing(each))
        while given:
            asked: dict[Hashable, dict[int, Asked]] = {}
            for index in list(given):
                try:
                    question = _go_on(several[index], given.pop(index))  # let go: it may hold a training's data
                    asked.setdefault(question.function, {})[index] = question
                except StopIteration as end:
                    found[index] = end.value
                except RAISED as error:
                    if machine_error(error) is not None:
                        raise
                    found[index] = error
            for of_one in asked.values():
                function = next(iter(of_one.values())).function
                answers = function([each.question for each in of_one.values()])
                given |= zip(of_one, answers, strict=True)
    return [found[index] for index in range(len(several))]


def _go_on(computation: Asking[Any], answer: Any) -> Asked:
    return computation.throw(answer) if isinstance(answer, BaseException) else computation.send(answer)


def alone(computation: Asking[R]) -> R:
    """What a computation comes to by itself.

    Raises:
        BaseException: whatever it raises.
    """
    (found,) = side_by_side([computation])
    if isinstance(found, BaseException):
        raise found
    return found
