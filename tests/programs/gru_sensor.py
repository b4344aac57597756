# SPDX-License-Identifier: Apache-2.0
"""A recurrent classifier of sensor streams, its GRU written out over python loops, and a Conv1d front end.

Habits: compile with keywords only, a dict of inputs for run, (100,1) labels fed where (100) was traced, a smaller last
batch, three outputs with the loss in the middle, --h and --world-size of the program's own, measure_performance alone.
"""

import torch
import torch.nn as nn
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args


class Cell(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.gates = nn.Linear(inputs + hidden, 2 * hidden)
        self.candidate = nn.Linear(inputs + hidden, hidden)

    def forward(self, x, h):
        reset, update = torch.sigmoid(self.gates(torch.cat([x, h], 1))).chunk(2, 1)
        new = torch.tanh(self.candidate(torch.cat([x, reset * h], dim=1)))
        return (1 - update) * h + update * new


class Sensor(nn.Module):
    def __init__(self, hidden=12, classes=3):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(2, 6, 5, stride=2, padding=2), nn.GroupNorm(2, 6), nn.Tanh(), nn.AvgPool1d(2)
        )
        self.cell = Cell(6, hidden)
        self.hidden = hidden
        self.head = nn.Linear(hidden, classes)

    def forward(self, stream, label):
        x = self.front(stream)
        h = torch.zeros(x.shape[0], self.hidden)
        steps = []
        for t in range(x.shape[-1]):
            h = self.cell(x[:, :, t], h)
            steps.append(h)
        out = self.head(torch.stack(steps, 1)[:, -3:, :].mean(dim=1))
        loss = nn.functional.cross_entropy(out, label)
        return out.softmax(-1), loss, torch.argmax(out, dim=1)


def common(parser):
    parser.add_argument("--h", type=int, default=12, help="hidden units")
    parser.add_argument("--world-size", type=int, default=-1)
    parser.add_argument("--data-dir", type=str, default="/nowhere")


def streams(count, seed):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (count, 1), generator=generator)
    time = torch.arange(24) / 4.0
    wave = torch.sin(time * (1 + label)) + 0.1 * torch.randn(count, 24, generator=generator)
    return torch.stack([wave, wave.roll(3, 1)], 1), label


def main():
    args = parse_app_args(common_parser_fn=common, dev_mode=True)
    utils.set_seed(args.h)
    net = Sensor(args.h)
    samba.from_torch_model_(net)
    batch = 100
    stream = samba.from_torch(torch.randn(batch, 2, 24), name="stream", batch_dim=0)
    label = samba.from_torch(torch.randint(3, (batch,)), name="label", batch_dim=0)
    opt = samba.optim.AdamW(net.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.01)
    if args.command == "compile":
        samba.session.compile(model=net, inputs=(stream, label), optimizers=opt, name="sensor", loss_indices=[1])
        return
    utils.trace_graph(net, (stream, label), opt, pef=args.pef, loss_indices=[(1,)])
    if args.command == "run":
        for step in range(8):
            x, y = streams(batch, step)
            fed = {"stream": samba.from_torch(x, name="stream"), "label": samba.from_torch(y, name="label")}
            _, loss, _ = samba.session.run(fed, net.output_tensors)
            print(f"step {step} loss={float(samba.to_torch(loss)):.5f}")
        x, y = streams(70, 99)
        fed = [samba.from_torch(x, name="stream"), samba.from_torch(y.squeeze(1), name="label")]
        probabilities, _, predicted = samba.session.run(fed, net.output_tensors, section_types=["fwd"])
        print(f"confidence {probabilities.torch().max(1)[0].mean():.4f} of {len(predicted)}")
        samba.session.to_cpu(net)
        torch.save({k: samba.to_torch(v) for k, v in net.state_dict().items()}, "sensor.pt")
    elif args.command == "test":
        out, loss, _ = samba.session.run([stream, label], net.output_tensors, section_types=["fwd"])
        gold = net(stream, label)
        utils.assert_close(samba.to_torch(out), samba.to_torch(gold[0]), "out", threshold=1e-4)
        utils.assert_close(samba.to_torch(loss), samba.to_torch(gold[1]), "loss", threshold=1e-4)
    else:
        print(utils.measure_performance(net, (stream, label), batch, 1, False, n_iterations=args.num_iterations))


if __name__ == "__main__":
    main()
