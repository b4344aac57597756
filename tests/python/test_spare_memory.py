# SPDX-License-Identifier: Apache-2.0
"""Memory of large results serves again, and never while somebody sees it."""

import pytest
import torch
from sambaflow import samba
from sambaflow._tensors.spare import SPARE_BYTES_MIN, SpareMemory
from sambaflow.samba import utils
from torch import nn

pytest.importorskip("sambaflow._leat")


def test_memory_of_a_large_result_serves_again_when_nobody_sees_it():
    spare, template = SpareMemory(), torch.empty(SPARE_BYTES_MIN // 4)
    first = spare.empty_like(template)
    place = first.data_ptr()
    holders = {
        "tensor": lambda t: t,
        "view": lambda t: t[1:],
        "array": lambda t: t.numpy(),
        "capsule": lambda t: t.__dlpack__(),
        "storage": lambda t: t.untyped_storage(),
        "parameter": lambda t: torch.nn.Parameter(t).data,
    }
    for name, hold in holders.items():
        held = hold(first)
        del first
        other = spare.empty_like(template)
        assert other.data_ptr() != place, name
        del held, other
        first = spare.empty_like(template)
        assert first.data_ptr() == place, name


def test_memory_of_a_large_result_is_left_to_who_changed_it():
    spare, template = SpareMemory(), torch.empty(SPARE_BYTES_MIN // 4)
    shared = spare.empty_like(template).share_memory_()
    place = shared.data_ptr()
    del shared
    assert spare.empty_like(template).data_ptr() != place
    larger = torch.empty(SPARE_BYTES_MIN // 4 + 1)
    assert spare.empty_like(larger).shape == larger.shape


def test_large_results_of_runs_are_values_of_their_own(tmp_path):
    model = nn.Linear(8, SPARE_BYTES_MIN // 256, bias=False)
    samba.from_torch_model_(model)
    x = samba.from_torch_tensor(torch.ones(64, 8), name="x")
    config = {"output_folder": str(tmp_path), "pef_name": "wide", "log_level": "error"}
    pef = samba.session.compile(model, [x], inference=True, config_dict=config)
    traced = utils.trace_graph(model, [x], pef=pef)

    def run(scale):
        return samba.session.run([samba.from_torch_tensor(x.data * scale, name="x")], traced, section_types=["fwd"])[0]

    results = [run(scale) for scale in (1.0, 2.0, 3.0)]
    places = {result.data_ptr() for result in results}
    assert len(places) == 3
    torch.testing.assert_close(torch.Tensor(results[1]), 2 * torch.Tensor(results[0]))
    torch.testing.assert_close(torch.Tensor(results[2]), 3 * torch.Tensor(results[0]))
    kept = results[0].clone()
    del results
    assert run(1.0).data_ptr() in places
    torch.testing.assert_close(torch.Tensor(run(1.0)), torch.Tensor(kept))
