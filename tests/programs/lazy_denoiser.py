# SPDX-License-Identifier: Apache-2.0
"""An image denoiser whose weights are made late, built from the SDK's own layers and functions.

Habits: layers of samba.nn by keyword, samba.cat/mul/div/log/sigmoid and samba.functional inside forward,
SambaParameter(shape, dtype, materializer) put into a module before and after conversion, transfer_device=False, a model
made anew after the trace and sent by session.to_device(), .rdu() of each traced tensor and of optim_dict,
get_tensors_by_name of a parameter, an output and an input, set_seed in the middle.
"""

import sys

import sambaflow.samba.utils as utils
import torch
from sambaflow import samba
from sambaflow.samba import functional as SF
from sambaflow.samba.nn.parameter import SambaParameter
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.samba.utils.pef_utils import get_pefmeta


class Scaled:
    """Fills a parameter with normal numbers; called with the parameter alone."""

    def __init__(self, std, seed):
        self.std, self.seed = std, seed

    def __call__(self, parameter):
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(tuple(parameter.shape), generator=generator).mul_(self.std).to(parameter.dtype)


def transposed_copy(this_tensor, original_tensor=None):
    """A materializer with a second, defaulted parameter, which the SDK has to leave alone."""
    assert original_tensor is None
    return torch.full(tuple(this_tensor.shape), 0.1, dtype=this_tensor.dtype)


def block(inward, outward):
    return samba.nn.Sequential(
        samba.nn.Conv2d(in_channels=inward, out_channels=outward, kernel_size=3, padding=1, bias=False),
        samba.nn.BatchNorm2d(num_features=outward),
        samba.nn.ReLU(inplace=True),
    )


class Denoiser(samba.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.enter = block(1, width)
        self.pool = samba.nn.MaxPool2d(kernel_size=2, stride=2)
        self.middle = block(width, 2 * width)
        self.up = samba.nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2)
        self.leave = samba.nn.Conv2d(2 * width, 1, kernel_size=1)
        self.gain = samba.nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, noisy, clean):
        skip = self.enter(noisy)
        deep = self.up(self.middle(self.pool(skip)))
        joined = samba.cat((samba.mul(skip, self.gain), SF.leaky_relu(deep, 0.2)), dim=1)
        image = samba.sigmoid(self.leave(joined))
        likelihood = clean * samba.log(image + 1e-6) + (1 - clean) * samba.log((1 - image) + 1e-6)
        loss = samba.div(samba.sum(-likelihood), float(clean.numel()))
        return loss, image


def make_model(args, seed):
    utils.set_seed(seed)
    model = Denoiser(args.width)
    model.gain = SambaParameter(shape=model.gain.shape, dtype=torch.float32, materializer=transposed_copy)
    samba.from_torch_model_(model)
    for index, layer in enumerate(m for m in model.modules() if isinstance(m, samba.nn.Conv2d)):
        lazy = SambaParameter(shape=iter(layer.weight.shape), dtype=layer.weight.dtype, requires_grad=True,
                              materializer=Scaled(0.3, index))  # fmt: skip
        lazy.sn_name = layer.weight.sn_name
        layer.weight = lazy
    samba.from_torch_model_(model)
    return model


def add_args(parser):
    parser.add_argument("--width", type=int, default=6)
    parser.add_argument("-b", "--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, default=12)


def images(args, step):
    generator = torch.Generator().manual_seed(step)
    coarse = torch.rand(args.batch_size, 1, 3, 3, generator=generator) > 0.5
    clean = coarse.float().repeat_interleave(args.size // 3, 2).repeat_interleave(args.size // 3, 3)
    return clean + 0.3 * torch.randn(clean.shape, generator=generator), clean


def tensors(args, step):
    named = zip(("noisy", "clean"), images(args, step), strict=True)
    return tuple(samba.from_torch(tensor, name=name, batch_dim=0) for name, tensor in named)


def load(args, model, inputs, optimizer):
    """Loads without moving a weight, then lets every tensor of the program come by itself."""
    outputs = utils.trace_graph(
        model, inputs, optimizer, pef=args.pef, mapping=args.mapping, init_output_grads=True, transfer_device=False
    )
    empty = [t for t in samba.session._traced_tensors() if not t.has_data]
    assert empty, "the convolutions have no data yet"
    for tensor in (*samba.session._traced_tensors(), *samba.session.optim_dict.values()):
        tensor.rdu()
    assert all(tensor.has_data for tensor in empty)
    return outputs


def train(args, model, inputs, optimizer):
    outputs = load(args, model, inputs, optimizer)
    for part in ("first", "again"):
        for step in range(4):
            loss, image = samba.session.run(
                tensors(args, step), outputs, hyperparam_dict={"lr": 0.02, "weight_decay": 0.0}
            )
            error = (samba.to_torch(image) - images(args, step)[1]).abs().mean()
            print(f"{part} {step} loss {loss.item():.5f} error {error:.5f}")
        if part == "first":
            model = make_model(args, seed=20)
            model.leave.weight.data = samba.to_torch(model.up.weight)[:, :1, :1, :1].mean() * torch.ones(
                model.leave.weight.shape
            )
            samba.session.to_device()
    gain, shown, fed = samba.session.get_tensors_by_name([model.gain.sn_name, outputs[1].sn_name, "noisy"])
    assert torch.equal(fed.data, images(args, 3)[0]) and torch.allclose(shown.data, samba.to_torch(image))
    samba.session.to_cpu(model)
    assert torch.equal(gain.data, samba.to_torch(model.gain)) and model.gain.has_data
    torch.save({name: samba.to_torch(value) for name, value in model.state_dict().items()}, "denoiser.pt")


def test(args, model, inputs, optimizer):
    outputs = load(args, model, inputs, optimizer)
    with samba.materialize.materialize(model), samba.patched_torch():
        gold = model(*inputs)
    found = samba.session.run(inputs, outputs, section_types=["FWD"])
    for name, ours, theirs in zip(("loss", "image"), found, gold, strict=True):
        utils.assert_close(ours, theirs, name, threshold=1e-4, visualize=True)


def main(argv):
    args = parse_app_args(argv=argv, common_parser_fn=add_args, dev_mode=True)
    model = make_model(args, seed=19)
    inputs = tensors(args, 0)
    optimizer = samba.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-6)
    if args.command == "compile":
        samba.session.compile(
            model, inputs, optimizer, name="denoiser", app_dir=utils.get_file_dir(__file__), config_dict=vars(args),
            pef_metadata=get_pefmeta(args, model),
        )  # fmt: skip
    elif args.command == "run":
        train(args, model, inputs, optimizer)
    elif args.command == "test":
        test(args, model, inputs, optimizer)
    elif args.command == "measure-performance":
        load(args, model, inputs, optimizer)
        utils.measure_performance(model, inputs, args.batch_size, args.n_chips, args.inference,
                                  run_graph_only=args.run_graph_only, n_iterations=args.num_iterations)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
