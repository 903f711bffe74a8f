"""Options, fixtures and the tolerance table that all tests share."""

import hypothesis
import pytest
import torch

torch.set_num_threads(1)

hypothesis.settings.register_profile("sntorch", derandomize=True, deadline=None, max_examples=25)
hypothesis.settings.load_profile("sntorch")

DTYPES = {"float64": torch.float64, "float32": torch.float32}

# Exact laws hold to rounding, with room for sums over a few hundred terms.
TOLERANCES = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-11},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
}


def pytest_addoption(parser):
    parser.addoption("--dtype", default="float64", choices=sorted(DTYPES), help="dtype of tensors")
    parser.addoption("--device", default="cpu", help="device of tensors, e.g. cuda")


class SeededExamples:
    """Seeds every example of a docstring, which fixtures of this folder do not reach."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        if isinstance(item, pytest.DoctestItem):
            torch.default_generator.manual_seed(0)


def pytest_configure(config):
    config.pluginmanager.register(SeededExamples(), "seeded_examples")


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def dtype(request):
    return DTYPES[request.config.getoption("--dtype")]


@pytest.fixture(scope="session")
def device(request):
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def tolerance(dtype):
    """Keywords of ``torch.testing.assert_close`` for exact laws in the dtype of the run."""
    return TOLERANCES[dtype]


@pytest.fixture(autouse=True)
def _seed():
    # torch.manual_seed writes down the stack for every kind of device there might be: 4 ms a test.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)
