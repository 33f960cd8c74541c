"""Slabs and columns: they cover the volume once, and fit the budget where anything can."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from VolumeSuperResolutionLib.engine.streaming.tiles import NARROWEST, fit, halves, parts

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))
FACTORS = st.tuples(st.integers(1, 4), st.integers(1, 4))


def cost(thickness, column):
    """Like a network's: a halo of 10 voxels, and a few planes that are kept in any case."""
    (top, bottom), (left, right) = column
    return (thickness + 5) * (bottom - top + 20) * (right - left + 20)


def covered(columns, size):
    times = np.zeros(size, dtype=int)
    for (top, bottom), (left, right) in columns:
        times[top:bottom, left:right] += 1
    return times


@given(st.integers(1, 500), st.integers(1, 40), st.integers(1, 5))
def test_parts_follow_one_another_and_differ_little(length, count, multiple):
    cuts = parts(length, count, multiple)
    assert cuts[0][0] == 0 and cuts[-1][1] == length
    assert all(a[1] == b[0] for a, b in zip(cuts, cuts[1:]))
    assert all(low % multiple == 0 and high > low for low, high in cuts)
    assert len(cuts) <= count
    lengths = [high - low for low, high in cuts]
    assert max(lengths) - min(lengths) < 2 * multiple


@given(SIZES, FACTORS, st.integers(1, 64), st.integers(1, 10**7))
def test_a_plan_covers_every_voxel_once_within_the_budget(inputs, factor, thickest, budget):
    size = (inputs[0] * factor[0], inputs[1] * factor[1])
    plan = fit(budget, size, factor, thickest, cost)
    assert (covered(plan.columns, size) == 1).all()
    assert 1 <= plan.thickness <= thickest
    most = max(cost(plan.thickness, column) for column in plan.columns)
    widest = max(max((b - a) // factor[0], (d - c) // factor[1]) for (a, b), (c, d) in plan.columns)
    assert most <= budget or (plan.thickness == 1 and widest < 2 * NARROWEST)


def test_all_that_fits_is_taken_at_once():
    plan = fit(10**9, (100, 200), (1, 1), 8, cost)
    assert plan.thickness == 8 and plan.columns == (((0, 100), (0, 200)),)


def test_thinner_slabs_come_before_more_columns():
    plan = fit(cost(2, ((0, 100), (0, 200))), (100, 200), (1, 1), 8, cost)
    assert plan.thickness == 2 and len(plan.columns) == 1


@given(SIZES, FACTORS)
def test_halves_are_the_column_again_unless_too_narrow(inputs, factor):
    column = ((7 * factor[0], (7 + inputs[0]) * factor[0]), (0, inputs[1] * factor[1]))
    pieces = halves(column, factor)
    if not pieces:
        assert max(inputs) < 2 * NARROWEST
        return
    assert len(pieces) == 2
    assert all((low - column[a][0]) % factor[a] == 0 for piece in pieces for a, (low, _) in enumerate(piece))
    shifted = [tuple((low - column[a][0], high - column[a][0]) for a, (low, high) in enumerate(p)) for p in pieces]
    assert (covered(shifted, (inputs[0] * factor[0], inputs[1] * factor[1])) == 1).all()
