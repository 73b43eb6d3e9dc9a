"""Work in portions: the same numbers as in one go, views that write through, and memory that is handed on."""

import copy
import math
import pickle
from contextlib import ExitStack

import pytest
import torch
from torch import nn

from analog_samson.sharpness import chunks as module
from analog_samson.sharpness import perturb
from analog_samson.sharpness.chunks import BufferPool, iter_chunks
from analog_samson.sharpness.fast_ascent import TensorGroup, ascent_steps
from analog_samson.sharpness.methods import Samson, make_perturbation
from analog_samson.sharpness.optimizers import SAMSON
from analog_samson.sharpness.perturb import perturb_on, perturbed, plan_ascent

METHODS = ("sam", "asam", "samson")


def tensors(shapes, seed):
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draws) for shape in shapes]


def ascent_step(weights, grads, perturbation):
    (steps,) = ascent_steps([TensorGroup(weights, grads, perturbation)]).eps
    return steps


def network(*, channels_last=False):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(72, 5))
    if channels_last:
        model.to(memory_format=torch.channels_last)
    model(torch.randn(4, 3, 7, 7)).square().mean().backward()
    return model


def state(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def same(model, saved):
    return all(torch.equal(now, then) for now, then in zip(model.parameters(), saved, strict=True))


@pytest.mark.parametrize("cached", [1, 3, 7, 1000])
def test_parts_cover_every_number_once_in_order_and_stay_small(cached, monkeypatch):
    monkeypatch.setattr(module, "CACHED", cached)
    lists = tensors([(5,), (2, 3), (), (4, 1, 2, 1)], 0), tensors([(5,), (2, 3), (), (4, 1, 2, 1)], 1)
    found = [[[] for _ in each] for each in lists]
    for owners, parts in iter_chunks(*lists):
        assert sum(part.numel() for part in parts[0]) <= max(cached, 1)
        for rows, own in zip(found, parts, strict=True):
            for member, part in zip(owners, own, strict=True):
                rows[member].append(part.flatten())
    for rows, whole in zip(found, lists, strict=True):
        assert all(torch.equal(torch.cat(row), tensor.flatten()) for row, tensor in zip(rows, whole, strict=True))


def test_what_is_written_in_a_part_is_written_in_the_tensor(monkeypatch):
    monkeypatch.setattr(module, "CACHED", 4)
    inputs = [torch.zeros(3, 3), torch.zeros(2, 3, 2, 2).to(memory_format=torch.channels_last), torch.zeros(3, 4).t()]
    for chunk in iter_chunks(inputs):
        for part in chunk.views[0]:
            part += 1
    assert all(torch.equal(tensor, torch.ones_like(tensor)) for tensor in inputs)


def test_tensors_of_different_layout_are_not_cut(monkeypatch):
    monkeypatch.setattr(module, "CACHED", 4)
    plain = torch.arange(24.0).view(2, 3, 2, 2)
    ((_, (one, other)),) = iter_chunks([plain], [plain.to(memory_format=torch.channels_last)])
    assert torch.equal(one[0], other[0])


def test_more_threads_get_larger_portions(monkeypatch):
    monkeypatch.setattr(module, "CACHED", 4)
    assert len(list(iter_chunks([torch.zeros(16)]))) == 4
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert len(list(iter_chunks([torch.zeros(16)]))) == 2


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0, math.inf])
@pytest.mark.parametrize("method", METHODS)
def test_portions_make_no_difference_to_a_step(method, p, monkeypatch):
    weights, grads = tensors([(40, 7), (3,), (90,)], 0), tensors([(40, 7), (3,), (90,)], 1)
    perturbation = make_perturbation(method, rho=0.5, p=p, eta=0.01)
    whole = ascent_step(weights, grads, perturbation)
    monkeypatch.setattr(module, "CACHED", 16)
    for mine, theirs in zip(ascent_step(weights, grads, perturbation), whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_portions_make_no_difference_to_a_climb_and_all_comes_back(method, channels_last, monkeypatch):
    model = network(channels_last=channels_last)
    saved = state(model)
    with perturbed(model, method=method, selection="paper"):
        expected = state(model)
    monkeypatch.setattr(module, "CACHED", 50)
    with perturbed(model, method=method, selection="paper"):
        assert not same(model, saved)
        for mine, theirs in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(mine.detach(), theirs, rtol=1e-5, atol=1e-7)
    assert same(model, saved)


def test_climb_moves_by_the_ascent_step(monkeypatch):
    monkeypatch.setattr(module, "CACHED", 50)
    model = network()
    weights = [model[0].weight, model[2].weight, model[4].weight]
    before = [weight.detach().clone() for weight in weights]
    steps = ascent_step(before, [w.grad for w in weights], Samson(rho=0.5, eta=0.01))
    with perturbed(model, rho=0.5):
        for weight, old, eps in zip(weights, before, steps, strict=True):
            torch.testing.assert_close(weight.detach(), old + eps, rtol=1e-6, atol=1e-8)


def test_failure_half_way_takes_back_what_has_moved(monkeypatch):
    monkeypatch.setattr(module, "CACHED", 50)
    model, calls = network(), []
    saved = state(model)

    def fail_late(*arguments):
        calls.append(1)
        if len(calls) == 4:
            assert not same(model, saved)
            raise MemoryError
        move(*arguments)

    move = perturb.perturb_
    monkeypatch.setattr(perturb, "perturb_", fail_late)
    with pytest.raises(MemoryError), ExitStack() as stack:
        perturb_on(stack, plan_ascent(model))
    assert same(model, saved)


def test_zero_tensor_beside_others_stays_put_in_portions(monkeypatch):
    monkeypatch.setattr(module, "CACHED", 8)
    weights, grads = [torch.zeros(5, 5), torch.ones(30)], [torch.ones(5, 5), torch.ones(30)]
    for p in (1.0, 3.0, math.inf):
        still, moved = ascent_step(weights, grads, Samson(rho=0.5, p=p, eta=0.01))
        assert not still.any()
        assert moved.abs().min() > 0


def test_largest_weight_of_a_tensor_counts_wherever_it_lies(monkeypatch):
    monkeypatch.setattr(module, "CACHED", 8)
    perturbation = Samson(rho=0.5)
    for place in (0, 13, 29):
        weight, gradient = torch.full((30,), 0.1), torch.ones(30)
        weight[place] = -0.8
        scale = perturbation.scale(weight)
        (eps,) = ascent_step([weight], [gradient], perturbation)
        torch.testing.assert_close(eps, 0.5 * scale.square() / scale.norm())


def test_memory_of_the_copy_is_used_again_by_the_next_step():
    model = network()
    optimizer = SAMSON(model, torch.optim.SGD, lr=0.1)
    taken = []
    for _ in range(2):
        model(torch.randn(4, 3, 7, 7)).square().mean().backward()
        optimizer.first_step()
        optimizer.restore()
        free = optimizer._buffers._free
        taken.append([copy_.data_ptr() for copy_ in free])
    assert taken[0] == taken[1]
    assert len(taken[0]) == 3


def test_climb_within_a_climb_of_the_same_plan_gives_each_its_own_weights_back():
    model = network()
    ascent = plan_ascent(model)
    saved = state(model)
    with perturbed(ascent):
        once = state(model)
        with perturbed(ascent):
            assert not same(model, once)
        assert same(model, once)
    assert same(model, saved)


def test_memory_of_other_shape_type_or_order_is_not_used_again():
    buffers = BufferPool()
    for like in (
        torch.zeros(4),
        torch.zeros(4, dtype=torch.float64),
        torch.zeros(5),
        torch.zeros(2, 2, 2, 2),
        torch.zeros(2, 2, 2, 2).to(memory_format=torch.channels_last),
    ):
        (taken,) = buffers.take([like])
        assert (taken.shape, taken.dtype, taken.stride()) == (like.shape, like.dtype, like.stride())
        buffers.give([taken])
    assert len(buffers.take([torch.zeros(4), torch.zeros(5)])) == 2


def test_copies_start_with_no_memory():
    buffers = BufferPool()
    buffers.give([torch.zeros(100)])
    assert copy.deepcopy(buffers)._free == []
    assert pickle.loads(pickle.dumps(buffers))._free == []
