# SPDX-License-Identifier: Apache-2.0
"""Text generation with static shapes: one inference PEF a length, chosen while the text grows.

Habits: compile(model, inputs) with nothing else in a loop over lengths, --inference inside the program, trace_graph
again and again in one process, run(...)[0] on a single output, samba.to_torch on slices, a flag --pef-dir of its own.
"""

import argparse
import copy
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args

LENGTHS = (4, 8, 12)


class Decoder(nn.Module):
    def __init__(self, vocab=40, width=32, heads=4):
        super().__init__()
        self.heads = heads
        self.tokens, self.places = nn.Embedding(vocab, width), nn.Embedding(max(LENGTHS), width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(5)])
        self.qkv = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(2)])
        self.out = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.mlp = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 64), nn.SiLU(), nn.Linear(64, width)) for _ in range(2)]
        )

    def forward(self, input_ids):
        batch, length = input_ids.shape
        x = self.tokens(input_ids) + self.places(torch.arange(length))
        for layer in range(2):
            qkv = self.qkv[layer](self.norms[2 * layer](x)).view(batch, length, 3, self.heads, -1).transpose(1, 3)
            q, k, v = qkv.unbind(2)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1 if self.training else 0.0)
            x = x + self.out[layer](attended.transpose(1, 2).flatten(2))
            x = x + self.mlp[layer](self.norms[2 * layer + 1](x))
        return self.norms[4](x) @ self.tokens.weight.t()


def add_args(parser: argparse.ArgumentParser):
    parser.add_argument("--pef-dir", default="")
    parser.add_argument("--prompt", type=int, nargs="*", default=[7, 11, 13])


def ids_of(length):
    return samba.from_torch_tensor(torch.zeros(1, length, dtype=torch.int64), name="input_ids")


def pef_of(args, length):
    folder, name = os.path.split(args.pef)
    return os.path.join(os.path.dirname(folder), f"{name[:-4]}_{length}", f"{name[:-4]}_{length}.pef")


def load(args, model, length):
    path = args.pef if length == max(LENGTHS) else pef_of(args, length)
    return utils.trace_graph(model, (ids_of(length),), pef=path)


def generate(args, model):
    text, loaded, traced = list(args.prompt), None, None
    while len(text) < max(LENGTHS):
        length = next(n for n in LENGTHS if n > len(text))
        if length != loaded:
            traced, loaded = load(args, model, length), length
        padded = torch.tensor([text + [0] * (length - len(text))])
        fed = samba.from_torch_tensor(padded, name="input_ids")
        logits = samba.session.run([fed], traced[0], section_types=["fwd"])[0]
        following = samba.to_torch(logits)[0, len(text) - 1]
        print(f"{len(text)} of {length}: best {following.max():.4f} of token {int(following.argmax())}")
        text.append(int(following.argmax()))
    print("text", *text)


def main():
    args = parse_app_args(common_parser_fn=add_args)
    args.inference = True
    utils.set_seed(17)
    model = Decoder().eval()
    samba.from_torch_model_(model)
    if args.command == "compile":
        name = args.pef_name.removesuffix(".pef")
        samba.session.compile(model, (ids_of(max(LENGTHS)),))
        for length in LENGTHS[:-1]:
            config = {**vars(args), "pef_name": f"{name}_{length}"}
            samba.session.compile(model, (ids_of(length),), config_dict=config, inference=True)
    elif args.command == "run":
        generate(args, model)
    elif args.command == "test":
        host = copy.deepcopy(model)
        for length in LENGTHS:
            traced = load(args, model, length)
            ids = samba.randint(40, (1, length), name="input_ids")
            found = samba.session.run([ids], traced, section_types=["fwd"])
            utils.assert_close(found[0], host(samba.to_torch(ids)), f"logits of {length}", threshold=1e-4)
    elif args.command == "measure-performance":
        load(args, model, max(LENGTHS))
        utils.measure_performance(model, [ids_of(max(LENGTHS))], 1, 1, inference=True, n_iterations=args.num_iterations)


if __name__ == "__main__":
    main()
