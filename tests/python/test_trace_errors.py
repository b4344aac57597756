# SPDX-License-Identifier: Apache-2.0
"""What torch or Python raises while a program is traced names the line of the program and the module."""

import re

import beside_eager as eager
import pytest
import torch
import torch.nn.functional as F
from sambaflow._trace.errors import TraceError
from torch import nn


class Inner(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Outer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.inner = Inner(function)

    def forward(self, x):
        return self.inner(x * self.w).sum()


def _raised(function):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which kinds it is of is what the tests look at
        eager.traced(Outer(function), torch.ones(2, 3))
    return caught.value


@pytest.mark.parametrize(
    ("function", "kind", "text"),
    [
        (lambda x: x @ x, RuntimeError, "must have same reduction dim"),
        (lambda x: x.sum(7), IndexError, "Dimension out of range"),
        (lambda x: x.view(5), RuntimeError, "is invalid for input of size 6"),
        (lambda x: torch.searchsorted(x, x[:1]), RuntimeError, "boundaries tensor should be 1 dimension or"),
        (lambda x: nn.functional.pad(x, (1, 1), mode="what"), NotImplementedError, "Unrecognised padding mode what"),
    ],
)
def test_errors_of_torch_keep_their_kind_and_gain_a_place(function, kind, text):
    error = _raised(function)
    assert isinstance(error, TraceError) and isinstance(error, kind)
    assert text in str(error)
    assert f"test_trace_errors.py:{function.__code__.co_firstlineno}: in module outer.inner" in str(error)
    assert isinstance(error.__cause__, kind)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: torch.searchsorted(x, x, side="middle"), "searchsorted in .*: side is left or right"),
        (lambda x: torch.searchsorted(x > 0, x > 0), "searchsorted in .*: torch has none for bool and complex numbers"),
        (lambda x: F.avg_pool1d(x.long(), 2), "avg_pool1d of torch.int64: only floating-point numbers"),
        (lambda x: F.conv1d(x.long()[None], x.long()[None]), "conv1d of torch.int64: only floating-point"),
        (lambda x: torch.bucketize(x, x), "bucketize in .*: boundaries have one dim"),
        (
            lambda x: F.pad(x[None], (-4, 3), mode="circular"),
            r"pad \(circular\) by -4 and 3 cuts all 3 elements of dim 2",
        ),
    ],
)
def test_what_torch_would_refuse_only_when_it_runs_is_refused_while_tracing(function, text):
    error = _raised(function)
    assert isinstance(error, TraceError)
    assert re.search(text, str(error))


def test_what_the_program_raises_itself_is_left_alone():
    class OwnError(Exception):
        pass

    def function(x):
        raise OwnError("not for me")

    error = _raised(function)
    assert type(error) is OwnError and str(error) == "not for me"


def test_an_error_that_the_program_catches_is_none(tmp_path):
    def function(x):
        try:
            return x.sum(7)
        except IndexError:
            return x.sum(1)

    eager.check(tmp_path, Outer(function), torch.ones(2, 3))


@pytest.mark.parametrize(
    ("function", "op"),
    [(lambda x: x[(None,) * 7], "getitem"), (lambda x: torch.kron(x[(None,) * 3], x[(None,) * 3]), "kron")],
)
def test_more_dims_than_a_value_can_have_are_refused_by_the_name_of_the_op(function, op):
    message = str(_raised(function))
    assert op in message and "at most 8 dims can be compiled" in message
    assert "graph text" not in message
