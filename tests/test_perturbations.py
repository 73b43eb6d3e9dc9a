"""The methods: identities of T and of the ascent step, the fast step against the readable one and the slow twin."""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ascent as twin
from torch import nn

from analog_samson.errors import OptionError
from analog_samson.sharpness.fast_ascent import TensorGroup, ascent_steps
from analog_samson.sharpness.measure import measure_sharpness
from analog_samson.sharpness.methods import (
    METHODS,
    Asam,
    RandomWeight,
    Sam,
    Samson,
    find_method,
    import_method,
    make_perturbation,
    register_method,
    training_methods,
)
from analog_samson.sharpness.perturb import perturbed
from analog_samson.sharpness.perturbations import WorstCase, ascent_step, global_norm
from analog_samson.sharpness.wrapper import SharpnessAware

NAMES = ("sam", "asam", "samson")
SHAPES = st.lists(st.lists(st.integers(1, 5), min_size=0, max_size=4), min_size=1, max_size=5)
WORST_CASES = st.builds(
    make_perturbation,
    st.sampled_from(NAMES),
    rho=st.floats(1e-3, 10),
    p=st.sampled_from([1.0, 1.5, 2.0, 3.0, 8.0, math.inf]),
    eta=st.sampled_from([0.0, 0.01, 0.5]),
)


@register_method("root_of_test")
@dataclass(frozen=True, kw_only=True)
class Root(WorstCase):
    """A method from outside the package, whose T has no fast form."""

    rho: float = 0.1
    order: float = 0.5

    def scale(self, weight):
        return weight.abs() ** self.order


METHODS.pop("root_of_test")


@pytest.fixture(autouse=True, scope="module")
def _root_of_test():
    """Known to the tests of this file only."""
    METHODS["root_of_test"] = Root
    yield
    METHODS.pop("root_of_test")


def tensors(shapes, seed, dtype=torch.float32):
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype) for shape in shapes]


def fast_step(weights, grads, perturbation):
    """The fast path's step of tensors that share one method."""
    steps = ascent_steps([TensorGroup(weights, grads, perturbation)]).eps
    return steps[0] if steps else [torch.zeros_like(weight) for weight in weights]


def close(mine, flat):
    torch.testing.assert_close(mine.flatten().double(), torch.tensor(flat).double(), rtol=2e-5, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(SHAPES, WORST_CASES, st.integers(0, 2**31))
def test_readable_and_fast_step_equal_the_slow_twin_and_end_on_the_border(shapes, method, seed):
    weights, grads = tensors(shapes, seed), tensors(shapes, seed + 1)
    flat = [(w.flatten().tolist(), g.flatten().tolist()) for w, g in zip(weights, grads, strict=True)]
    options = {"p": math.inf, "eta": 0.0} | method.options()
    slow = [twin.scale(method.name, w, options["p"], options["eta"]) for w, _ in flat]
    steps = twin.ascent([(w, g, method.rho, t) for (w, g), t in zip(flat, slow, strict=True)])
    for weight, expected in zip(weights, slow, strict=True):
        close(method.scale(weight), expected)
    for step in (ascent_step, fast_step):
        eps = step(weights, grads, method)
        for mine, expected in zip(eps, steps, strict=True):
            close(mine, expected)
        radius = global_norm([e / method.scale(w) for e, w in zip(eps, weights, strict=True)])
        assert radius.item() == pytest.approx(method.rho, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(WORST_CASES, st.integers(0, 2**31))
def test_no_step_inside_the_neighbourhood_rises_faster(method, seed):
    """eps is the maximiser of g.eps under ||eps / T|| <= rho: random competitors of the same radius gain no more."""
    weights, grads = tensors([(3, 4), (5,)], seed, torch.float64), tensors([(3, 4), (5,)], seed + 1, torch.float64)
    scale = [method.scale(weight) for weight in weights]

    def gain(eps):
        return sum((g * e).sum().item() for g, e in zip(grads, eps, strict=True))

    best = gain(ascent_step(weights, grads, method))
    for other in range(5):
        z = tensors([(3, 4), (5,)], seed + 2 + other, torch.float64)
        length = global_norm(z)
        assert gain([method.rho * t * d / length for t, d in zip(scale, z, strict=True)]) <= best * (1 + 1e-12)


def test_norm_is_shared_by_groups_and_each_keeps_its_radius_and_rule():
    weights, grads = tensors([(4, 3), (6,), (5,)], 0, torch.float64), tensors([(4, 3), (6,), (5,)], 1, torch.float64)
    methods = (Samson(rho=0.5, p=2.0, eta=0.01), Sam(rho=0.05), Root(rho=0.2))
    groups = [TensorGroup([w], [g], method) for w, g, method in zip(weights, grads, methods, strict=True)]
    parts = [
        (w.flatten().tolist(), g.flatten().tolist(), method.rho, method.scale(w).flatten().tolist())
        for w, g, method in zip(weights, grads, methods, strict=True)
    ]
    for mine, wanted in zip(ascent_steps(groups).eps, twin.ascent(parts), strict=True):
        close(mine[0], wanted)


@pytest.mark.parametrize("p", [1.0, 2.0, 5.0, math.inf])
def test_samson_scale_stays_when_the_weights_are_rescaled(p):
    weights = tensors([(6, 5)], 3, torch.float64)
    method = Samson(rho=0.5, p=p)
    torch.testing.assert_close(method.scale(weights[0] * 7.5), method.scale(weights[0]), rtol=1e-12, atol=0)


def test_samson_outlier_scale_is_the_relative_target_conductance():
    weight = tensors([(6, 5)], 3)[0]
    scale = Samson(rho=0.5).scale(weight)
    assert torch.equal(scale, weight.abs() / weight.abs().max())


def test_zero_tensor_stays_put_beside_one_that_moves():
    weights, grads = [torch.zeros(3, 2), torch.ones(4)], [torch.ones(3, 2), torch.ones(4)]
    for p in (1.0, 2.0, 3.0, math.inf):
        for step in (ascent_step, fast_step):
            still, moved = step(weights, grads, Samson(rho=0.5, p=p, eta=0.01))
            assert torch.equal(still, torch.zeros(3, 2))
            assert moved.abs().min() > 0


def test_weights_near_zero_give_finite_steps():
    """1 / ||w||^2 of such weights leaves float32; the step of every size of weight must not."""
    for size in (1e-3, 1e-8, 1e-11, 1e-13, 1e-25, 1e-42):
        for gradient in (1e8, 1.0, 1e-12, 1e-18):
            weights, grads = [torch.full((8,), size)], [torch.full((8,), gradient)]
            (eps,) = fast_step(weights, grads, Samson(rho=0.5))
            assert torch.isfinite(eps).all()
            assert eps.abs().max() <= 0.5 * (1 + 1e-5)


def test_large_p_does_not_underflow_to_a_zero_norm():
    weight = torch.full((50,), 1e-3)
    scale = Samson(rho=0.5, p=40.0).scale(weight)
    torch.testing.assert_close(scale, torch.full((50,), 50 ** (-1 / 40)))


@pytest.mark.parametrize("method", [*NAMES, "root_of_test"])
@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_no_direction_gives_zero_step(method, bad):
    weights, grads = [torch.ones(4), torch.ones(2)], [torch.full((4,), bad), torch.full((2,), 0.0)]
    perturbation = make_perturbation(method, rho=0.5)
    steps = ascent_steps([TensorGroup(weights, grads, perturbation)])
    assert steps.eps == []
    assert steps.norm == 0 if bad == 0 else not math.isfinite(steps.norm)
    assert not any(e.any() for e in ascent_step(weights, grads, perturbation))


def test_no_groups_give_no_step():
    assert ascent_steps([]) == ([], 0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", NAMES)
def test_half_precision_is_computed_in_float32(method, dtype):
    weights, grads = tensors([(40, 30)], 0, dtype), tensors([(40, 30)], 1, dtype)
    perturbation = make_perturbation(method, rho=0.5, eta=0.01)
    for step in (ascent_step, fast_step):
        wide = step([w.float() for w in weights], [g.float() for g in grads], perturbation)
        narrow = step(weights, grads, perturbation)
        assert narrow[0].dtype == torch.float32
        assert torch.equal(narrow[0], wide[0])


def test_inputs_are_left_as_they_were():
    weights, grads = tensors([(4, 3)], 0), tensors([(4, 3)], 1)
    kept = [t.clone() for t in (*weights, *grads)]
    for method in NAMES:
        fast_step(weights, grads, make_perturbation(method, rho=0.5, p=3.0, eta=0.1))
    assert all(torch.equal(a, b) for a, b in zip((*weights, *grads), kept, strict=True))


def test_all_bad_options_are_named_at_once():
    with pytest.raises(OptionError) as caught:
        Samson(rho=-1.0, p=0.5, eta=math.nan)
    text = str(caught.value)
    assert "3 problems" in text
    for name, value in (("rho", "-1.0"), ("p", "0.5"), ("eta", "nan")):
        assert f"  {name}: expected a" in text
        assert f"got {value}" in text


@pytest.mark.parametrize("rho", [True, "0.5", math.inf, math.nan, None])
def test_radius_has_to_be_a_finite_number(rho):
    with pytest.raises(OptionError, match="rho: expected a finite number >= 0"):
        Sam(rho=rho)


def test_unknown_methods_are_refused_with_the_known_ones():
    with pytest.raises(OptionError, match=r"expected one of sam, .*got 'samsom'; did you mean 'samson'"):
        find_method("samsom")


def test_none_takes_the_default_and_options_of_other_methods_are_left_out():
    assert make_perturbation("sam", rho=None, eta=0.1, p=2.0) == Sam(rho=0.05)
    assert Asam().filled(0.02).eta == 0.02
    assert RandomWeight().filled(0.0).options() == {"sigma": 0.01, "rho": None}


def test_every_method_names_its_formula_and_source_and_scales_its_size():
    for name, method in METHODS.items():
        if name in training_methods() and name != "root_of_test":
            assert method.formula
            assert method.source
            assert method().resized(0.5).size == 0.5 * method().size


def test_method_from_outside_serves_the_optimizer_the_block_and_the_measure():
    torch.manual_seed(0)
    model, x, y = nn.Linear(5, 3), torch.randn(8, 5), torch.randint(3, (8,))
    nn.functional.cross_entropy(model(x), y).backward()
    before, gradient = model.weight.detach().clone(), model.weight.grad.clone()
    (expected,) = ascent_step([before], [gradient], Root(rho=0.3))
    optimizer = SharpnessAware(model, torch.optim.SGD, perturbation=Root(rho=0.3), lr=0.1)
    for source, options in ((optimizer, {}), (model, {"perturbation": Root(rho=0.3)})):
        with perturbed(source, **options):
            torch.testing.assert_close(model.weight.detach() - before, expected)
        assert torch.equal(model.weight, before)
    optimizer.zero_grad()
    optimizer.step(lambda: nn.functional.cross_entropy(model(x), y).backward())
    assert not torch.equal(model.weight, before)
    named = measure_sharpness(model, [(x, y)], method="root_of_test", rho=0.3).value
    assert named == measure_sharpness(model, [(x, y)], perturbation=Root(rho=0.3)).value > 0


def test_options_of_an_outside_method_are_stored_with_the_optimizer_and_may_change():
    model = nn.Linear(2, 2)
    optimizer = SharpnessAware(model, perturbation=Root(rho=0.3, order=0.25), lr=0.1)
    saved = optimizer.state_dict()["param_groups"][0]
    assert (saved["method"], saved["rho"], saved["order"], saved["selection"]) == (
        *("root_of_test", 0.3, 0.25),
        "weights_only",
    )
    optimizer.param_groups[0]["rho"] = 0.1
    assert optimizer.ascent.groups[0].perturbation == Root(rho=0.1, order=0.25)


def test_scale_of_another_shape_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Wrong(WorstCase):
        rho: float = 0.1

        def scale(self, weight):
            return weight.norm()

    with pytest.raises(OptionError, match=r"shape \(\) for a weight of shape \(2,\)"):
        fast_step([torch.ones(2)], [torch.ones(2)], Wrong())


def test_second_method_of_a_name_is_refused_and_a_name_may_be_given_back():
    def register(name):
        @register_method(name)
        @dataclass(frozen=True, kw_only=True)
        class Another(Root):
            pass

    for taken in ("sgd", "samson"):
        with pytest.raises(ValueError, match=f"there is a method '{taken}' already"):
            register(taken)
    register("another_of_test")
    METHODS.pop("another_of_test")
    register("another_of_test")
    METHODS.pop("another_of_test")


def test_method_in_a_module_of_the_user_is_found_by_its_path():
    assert import_method(f"{__name__}:Root") == "root_of_test"
    assert import_method("samson") == "samson"
    for bad, words in (
        (f"{__name__}:Nothing", "has no 'Nothing'"),
        ("no_such_module:Root", "no module 'no_such_module'"),
        ("math:sqrt", "expected a perturbation class"),
    ):
        with pytest.raises(OptionError, match=words):
            import_method(bad)
