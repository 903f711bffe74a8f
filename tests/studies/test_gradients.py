"""Errors sent back through time: their rate is the largest exponent; where a curve is highest."""

import math

import pytest
import torch
from references import random_generator
from torch import nn

import sntorch as snt
from sntorch.plot.canvas import StyledFigure
from sntorch.studies.gradients import draw_norms, look
from sntorch.studies.peaks import peak


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=random_generator(seed), dtype=torch.float64)


def rotated(size, values, seed=1):
    """Return a linear network whose matrix has these singular values along fixed axes."""
    Q = torch.linalg.qr(numbers(size, size, seed=seed))[0]
    return snt.SNTCell(Q @ torch.diag(values) @ Q.T, transfer="linear", input_size=1)


CELLS = {"RNN": nn.RNNCell, "GRU": nn.GRUCell}


@pytest.mark.parametrize("gain", [1.0, 4.0])
@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_autograd_shrink_at_the_rate_of_the_largest_exponent(name, gain):
    size, rows, steps, cut = 12, 8, 260, 30
    torch.manual_seed(0)
    cell = CELLS[name](1, size).double()
    with torch.no_grad():
        cell.weight_hh.mul_(gain)
    x = numbers(steps, rows, 1)
    states = [torch.zeros(rows, size, dtype=torch.float64, requires_grad=True)]
    for one in x:
        states.append(cell(one, states[-1]))
    end = (states[-1] * numbers(rows, size, seed=2)).sum()
    logs = torch.stack([g.norm(dim=1).log() for g in torch.autograd.grad(end, states)])
    slopes = (logs[-1 - cut] - logs[cut]) / (cut - (steps - cut))  # how they grow as they go back
    found = snt.analysis.max_lyapunov(
        cell, states[0].detach(), steps - 2 * cut, transient=cut, x=x[: steps - cut]
    )
    exponents = found.exponents[:, 0]
    assert (exponents.mean() > -0.25) == (gain > 1)  # the two gains are not the same case
    error = math.sqrt(float(found.stderr.square().sum())) / rows
    assert error < 0.01
    assert abs(float((slopes - exponents).mean())) < 4 * error
    mine = look(cell, x)
    assert abs(float(mine.decay) - float(slopes.mean())) < 4 * error
    # A random error is another one than above: they go the same way from the first eighth on.
    assert float(mine.norms[-1] - mine.norms[cut]) == pytest.approx(
        float((logs[0] - logs[-2 - cut]).mean()), abs=3
    )


def test_rates_of_a_linear_network_are_known():
    f = rotated(6, torch.tensor([0.95, 0.6, 0.5, 0.4, 0.2, 0.1], dtype=torch.float64))
    found = look(f, numbers(200, 3, 1))
    for rate in (found.exponent, found.decay, (found.norms[-1] - found.norms[40]) / 159):
        assert float(rate) == pytest.approx(math.log(0.95), abs=1e-6)


def test_the_line_of_the_exponent_ends_where_the_measured_one_does():
    norms = torch.linspace(0, -6, 30).expand(2, 1, 30)
    ax = StyledFigure().add_subplot()
    draw_norms(("plain",), norms, torch.full((2, 1), -0.3), ax)
    mean, line = (torch.as_tensor(each.get_ydata()).log() for each in ax.lines[-2:])
    assert float(line[-1]) == pytest.approx(float(mean[-1]))
    assert float(line[0] - line[-1]) == pytest.approx(0.3 * 29)


def test_the_top_of_a_parabola_is_found_between_its_points():
    x = torch.tensor([0.0, 0.3, 0.5, 1.0, 1.3]).double()
    centres = torch.tensor([0.55, 0.65, 0.75]).double()
    y = 3 - (x[:, None] - centres) ** 2 / 4
    found = peak(x, y, 10 * x[:, None].expand(5, 3))
    assert found.inside
    assert found.place == pytest.approx(0.65)
    assert found.place_stderr == pytest.approx(float(centres.std()) / 3**0.5)
    assert found.height == pytest.approx(3 - float(centres.var(correction=0)) / 4)
    assert found.beside == pytest.approx(6.5)
    assert found.beside_stderr == pytest.approx(10 * found.place_stderr)


def test_low_points_and_ends_do_not_bend_the_top():
    x = torch.arange(7).double()
    y = (8 - (x - 3.2) ** 2 / 4)[:, None].repeat(1, 2)
    y[0], y[6] = -50, -90
    assert peak(x, y, y).place == pytest.approx(3.2)
    rising = peak(x, x[:, None].repeat(1, 2), y)
    assert not rising.inside
    assert (rising.place, rising.height, rising.place_stderr) == (6, 6, 0)
