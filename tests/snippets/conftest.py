"""What the tests of several snippets share: how torch computes meanwhile."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small models run many times slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def double():
    """What is made without a type is float64: for comparing at 1e-10."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
