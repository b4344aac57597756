# SPDX-License-Identifier: Apache-2.0
"""Sections that are short of scratch on a target with small caches: tried again with fewer resources, or refused."""

import pytest
import torch
from sambaflow import samba
from test_compile_modes import compile_and_train, compile_deep, sections_of

pytest.importorskip("sambaflow._leat")

SMALL = "native:4096,1048576,16000"  # products have room in L2; what a tile of one row may take is the L3


class Wide(torch.nn.Module):
    """Eight results of 2 KiB a row that all wait for the last one: more than the half that the cutter expects."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(64, 512, bias=False) for _ in range(8))

    def forward(self, x):
        first, *others = [layer(x) for layer in self.layers]
        return sum(others, first)


def log_of(folder, name):
    return (folder / name / f"{name}.mac.log").read_text()


def test_a_section_that_does_not_fit_is_tried_again(tmp_path):
    model, x = Wide(), torch.randn(32, 64)
    with torch.no_grad():
        expected = model(x)
    roomy = compile_deep(tmp_path, "roomy", Wide(), x)
    pef = compile_deep(tmp_path, "small", model, x, arch=SMALL)
    log = log_of(tmp_path, "small")
    assert "section 0 (fwd, from op 'linear' (module wide.layers.0" in log
    assert "a tile of one row takes 16384 bytes of scratch, L3 of native:4096,1048576,16000 has 16000" in log
    assert "compiling again with --resources-scaling-factors 0.5 1 1 1" in log
    assert "every section fits with --resources-scaling-factors 0.5 1 1 1" in log
    assert len(sections_of(pef)) > len(sections_of(roomy)) == 1
    assert "one row would take more scratch than the target has" in (tmp_path / "small" / "sections.csv").read_text()
    inputs = (samba.from_torch_tensor(x, name="x", batch_dim=0),)
    outputs = samba.utils.trace_graph(model, inputs, pef=pef)
    (result,) = samba.session.run(input_tensors=inputs, output_tensors=outputs)
    torch.testing.assert_close(samba.to_torch(result), expected, rtol=1e-4, atol=1e-5)


def test_groups_are_tried_again_too(tmp_path):
    class Fused(Wide):
        def forward(self, x):
            with samba.directives.op_fusion(func_name="all"):
                return super().forward(x)

    compile_deep(tmp_path, "group", Fused(), torch.zeros(32, 64), arch=SMALL, optim_level="o1")
    log = log_of(tmp_path, "group")
    assert "group 1 all (fused" in log and "every section fits with --resources-scaling-factors 0.5 1 1 1" in log


@pytest.mark.shows("--disable-retry-lower-visible-resources")
def test_without_retry_the_first_section_that_does_not_fit_ends_the_compile(tmp_path):
    with pytest.raises(Exception, match="takes 16384 bytes of scratch.*lower the factor of fwd"):
        compile_deep(
            tmp_path, "once", Wide(), torch.zeros(32, 64), arch=SMALL, disable_retry_lower_visible_resources=True
        )
    assert not list(tmp_path.rglob("*.pef")) and "compiling again" not in log_of(tmp_path, "once")
    factors = {"resources_scaling_factors": [0.5, 1.0, 1.0], "disable_retry_lower_visible_resources": True}
    compile_deep(tmp_path, "lower", Wide(), torch.zeros(32, 64), arch=SMALL, **factors)  # what the message suggests


def test_decisions_are_not_tried_again(tmp_path):
    """They leave the cutter nothing to cut earlier."""
    compile_deep(tmp_path, "roomy", Wide(), torch.zeros(32, 64), generate_mapping_decisions=True)
    path = str(tmp_path / "roomy" / "decisions.json")
    with pytest.raises(Exception, match="takes 16384 bytes of scratch"):
        compile_deep(tmp_path, "fixed", Wide(), torch.zeros(32, 64), arch=SMALL, mac_human_decision=path)
    assert not (tmp_path / "fixed" / "fixed.pef").exists()


@pytest.mark.parametrize("level", ["o1", "o3"])
@pytest.mark.parametrize("name", ["lenet", "gpt2", "llama"])
def test_models_train_the_same_on_a_target_with_hardly_any_cache(name, level, tmp_path):
    """What does not fit passes through memory between sections: other cuts, equal results."""
    large = compile_and_train(name, level, tmp_path, pef_name="large")
    small = compile_and_train(name, level, tmp_path, pef_name="small", arch="native:4096,8192,16384")
    torch.testing.assert_close(torch.tensor(small[0]), torch.tensor(large[0]), rtol=1e-4, atol=1e-5)
    for key, weight in small[2].items():
        torch.testing.assert_close(weight, large[2][key], rtol=1e-3, atol=1e-4, msg=key)
    assert len(sections_of(small[3])) >= len(sections_of(large[3]))
