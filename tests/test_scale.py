"""The scale T and the ascent step: identities, and agreement with the slow twin."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ascent as twin

from analog_samson.errors import OptionError
from analog_samson.sharpness.scale import (
    Neighbourhood,
    Piece,
    ascent_step,
    ascent_steps,
    global_norm,
    scales,
)

METHODS = ("sam", "asam", "samson")
SHAPES = st.lists(st.lists(st.integers(1, 5), min_size=0, max_size=4), min_size=1, max_size=5)
HOODS = st.builds(
    Neighbourhood,
    method=st.sampled_from(METHODS),
    rho=st.floats(1e-3, 10),
    p=st.sampled_from([1.0, 1.5, 2.0, 3.0, 8.0, math.inf]),
    eta=st.sampled_from([0.0, 0.01, 0.5]),
)


def tensors(shapes, seed, dtype=torch.float32):
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype) for shape in shapes]


def close(mine, flat):
    torch.testing.assert_close(mine.flatten().double(), torch.tensor(flat).double(), rtol=2e-5, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(SHAPES, HOODS, st.integers(0, 2**31))
def test_scale_and_step_equal_the_slow_twin(shapes, hood, seed):
    weights, grads = tensors(shapes, seed), tensors(shapes, seed + 1)
    flat = [(w.flatten().tolist(), g.flatten().tolist()) for w, g in zip(weights, grads, strict=True)]
    slow = [twin.scale(hood.method, w, hood.p, hood.eta) for w, _ in flat]
    steps = twin.ascent([(w, g, hood.rho, t) for (w, g), t in zip(flat, slow, strict=True)])
    for mine, expected in zip(scales(weights, hood), slow, strict=True):
        close(mine, expected)
    for mine, expected in zip(ascent_step(weights, grads, hood), steps, strict=True):
        close(mine, expected)


@settings(max_examples=60, deadline=None)
@given(SHAPES, HOODS, st.integers(0, 2**31))
def test_step_ends_on_the_border_of_the_neighbourhood(shapes, hood, seed):
    weights, grads = tensors(shapes, seed), tensors(shapes, seed + 1)
    eps, scale = ascent_step(weights, grads, hood), scales(weights, hood)
    radius = global_norm([step / t for step, t in zip(eps, scale, strict=True)])
    assert radius.item() == pytest.approx(hood.rho, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(HOODS, st.integers(0, 2**31))
def test_no_step_inside_the_neighbourhood_rises_faster(hood, seed):
    """eps is the maximiser of g.eps under ||eps / T|| <= rho: random competitors of the same radius gain no more."""
    weights, grads = tensors([(3, 4), (5,)], seed, torch.float64), tensors([(3, 4), (5,)], seed + 1, torch.float64)
    scale = scales(weights, hood)

    def gain(eps):
        return sum((g * e).sum().item() for g, e in zip(grads, eps, strict=True))

    best = gain(ascent_step(weights, grads, hood))
    for other in range(5):
        z = tensors([(3, 4), (5,)], seed + 2 + other, torch.float64)
        length = global_norm(z)
        assert gain([hood.rho * t * d / length for t, d in zip(scale, z, strict=True)]) <= best * (1 + 1e-12)


def test_norm_is_shared_by_pieces_and_each_keeps_its_radius_and_rule():
    weights, grads = tensors([(4, 3), (6,)], 0, torch.float64), tensors([(4, 3), (6,)], 1, torch.float64)
    hoods = (
        Neighbourhood(method="samson", rho=0.5, p=2.0, eta=0.01),
        Neighbourhood(method="sam", rho=0.05),
    )
    pieces = [Piece([w], [g], hood) for w, g, hood in zip(weights, grads, hoods, strict=True)]
    flat = [(w.flatten().tolist(), g.flatten().tolist(), h) for w, g, h in zip(weights, grads, hoods, strict=True)]
    expected = twin.ascent([(w, g, h.rho, twin.scale(h.method, w, h.p, h.eta)) for w, g, h in flat])
    steps = ascent_steps(pieces)
    for mine, wanted in zip(steps.eps, expected, strict=True):
        close(mine[0], wanted)


@pytest.mark.parametrize("p", [1.0, 2.0, 5.0, math.inf])
def test_samson_scale_stays_when_the_weights_are_rescaled(p):
    weights = tensors([(6, 5)], 3, torch.float64)
    hood = Neighbourhood(method="samson", rho=0.5, p=p)
    torch.testing.assert_close(scales([weights[0] * 7.5], hood), scales(weights, hood), rtol=1e-12, atol=0)


def test_samson_outlier_scale_is_the_relative_target_conductance():
    weight = tensors([(6, 5)], 3)[0]
    (scale,) = scales([weight], Neighbourhood(method="samson", rho=0.5))
    assert torch.equal(scale, weight.abs() / weight.abs().max())


def test_zero_tensor_stays_put_beside_one_that_moves():
    weights, grads = [torch.zeros(3, 2), torch.ones(4)], [torch.ones(3, 2), torch.ones(4)]
    for p in (1.0, 2.0, 3.0, math.inf):
        still, moved = ascent_step(weights, grads, Neighbourhood(method="samson", rho=0.5, p=p, eta=0.01))
        assert torch.equal(still, torch.zeros(3, 2))
        assert moved.abs().min() > 0


def test_weights_near_zero_give_finite_steps():
    """1 / ||w||^2 of such weights leaves float32; the step of every size of weight must not."""
    for size in (1e-3, 1e-8, 1e-11, 1e-13, 1e-25, 1e-42):
        for gradient in (1e8, 1.0, 1e-12, 1e-18):
            weights, grads = [torch.full((8,), size)], [torch.full((8,), gradient)]
            (eps,) = ascent_step(weights, grads, Neighbourhood(method="samson", rho=0.5))
            assert torch.isfinite(eps).all()
            assert eps.abs().max() <= 0.5 * (1 + 1e-5)


def test_large_p_does_not_underflow_to_a_zero_norm():
    weight = torch.full((50,), 1e-3)
    (scale,) = scales([weight], Neighbourhood(method="samson", rho=0.5, p=40.0))
    torch.testing.assert_close(scale, torch.full((50,), 50 ** (-1 / 40)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_no_direction_gives_zero_step(method, bad):
    weights, grads = [torch.ones(4), torch.ones(2)], [torch.full((4,), bad), torch.full((2,), 0.0)]
    steps = ascent_steps([Piece(weights, grads, Neighbourhood(method=method, rho=0.5))])
    assert steps.eps == []
    assert steps.norm == 0 if bad == 0 else not math.isfinite(steps.norm)
    assert not any(e.any() for e in ascent_step(weights, grads, Neighbourhood(method=method, rho=0.5)))


def test_no_pieces_give_no_step():
    assert ascent_steps([]) == ([], 0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_computed_in_float32(method, dtype):
    weights, grads = tensors([(40, 30)], 0, dtype), tensors([(40, 30)], 1, dtype)
    hood = Neighbourhood(method=method, rho=0.5, eta=0.01)
    wide = ascent_step([w.float() for w in weights], [g.float() for g in grads], hood)
    narrow = ascent_step(weights, grads, hood)
    assert narrow[0].dtype == torch.float32
    assert torch.equal(narrow[0], wide[0])


def test_inputs_are_left_as_they_were():
    weights, grads = tensors([(4, 3)], 0), tensors([(4, 3)], 1)
    kept = [t.clone() for t in (*weights, *grads)]
    for method in METHODS:
        ascent_step(weights, grads, Neighbourhood(method=method, rho=0.5, p=3.0, eta=0.1))
    assert all(torch.equal(a, b) for a, b in zip((*weights, *grads), kept, strict=True))


def test_all_bad_options_are_named_at_once():
    with pytest.raises(OptionError) as caught:
        Neighbourhood(method="samsom", rho=-1.0, p=0.5, eta=math.nan)
    assert str(caught.value) == (
        "sharpness options: 4 problems\n"
        "  method: expected one of sam, asam, samson, got 'samsom'; did you mean 'samson' or 'sam' or 'asam'?\n"
        "  rho: expected a finite number >= 0, got -1.0\n"
        "  p: expected a number >= 1 or infinity, got 0.5\n"
        "  eta: expected a finite number >= 0, got nan"
    )


@pytest.mark.parametrize("rho", [True, "0.5", math.inf, math.nan, None])
def test_radius_has_to_be_a_finite_number(rho):
    with pytest.raises(OptionError, match="rho: expected a finite number >= 0"):
        Neighbourhood(method="sam", rho=rho)
