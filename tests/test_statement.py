"""A figure beside the paper's: how many times it is, whatever the bound says."""

from __future__ import annotations

import pytest

from equiwm.results.statement import DecidedStatement


def beside(paper: str, median: float | None) -> DecidedStatement:
    return DecidedStatement(
        setting="s",
        quantity="q",
        paper=paper,
        median=median,
        low=median,
        high=median,
        over="seeds",
        seeds=5,
        bound="at least 0",
        holds=True,
        ours=False,
    )


@pytest.mark.parametrize(
    ("paper", "median", "times", "far"),
    [
        ("16.2 (1.66e-2 to 0.269)", 616.0, 616.0 / 16.2, True),
        ("2.9e-6", 5.48e-6, 5.48 / 2.9, False),
        ("+3.68 [+1.49, +6.02]", 20.1, 20.1 / 3.68, True),
        ("0.40 to 0.85", 0.466, 1.0, False),  # within the paper's range
        ("43 to 51", 38.5, 38.5 / 43.0, False),
        ("157 (0.120 to 18.85)", 35.9, 35.9 / 157.0, True),
        ("3e5", 3.0e5, 1.0, False),
        ("4.30", -4.3, -1.0, True),
    ],
)
def test_how_many_times_the_papers_figure(paper, median, times, far):
    found = beside(paper, median)
    assert found.times_paper == pytest.approx(times)
    assert found.is_far is far


@pytest.mark.parametrize(("paper", "median"), [("–", 1.0), ("0", 1e-14), ("below 1", 0.5), ("3.5", None), ("2", 0.0)])
def test_no_figure_no_ratio(paper, median):
    assert beside(paper, median).times_paper is None
    assert not beside(paper, median).is_far
