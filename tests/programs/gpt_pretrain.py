# SPDX-License-Identifier: Apache-2.0
"""A small causal language model pretrained in the way of the vendor's GPT tutorial.

Habits: several AdamW over OrderedSets of parameters with max_grad_norm, tied embeddings, an unreduced loss whose
gradient the program sets (sn_grad), four section types in upper case, None among the inputs at compile time and left
out at run time, an expanded mask as input, dropout by hyperparameter p, outputs in a dict, to_rdu after loading.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.utils.argparser import parse_app_args
from sambaflow.sambacollections import OrderedSet


class Attention(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask):
        batch, length, width = x.size()
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.size(-1))
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
        probabilities = self.dropout(F.softmax(scores, dim=-1))
        merged = torch.matmul(probabilities, v).transpose(1, 2).contiguous().view(batch, length, width)
        return self.out(merged)


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, dropout)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, x, mask):
        x = x + self.attn(self.ln_1(x), mask)
        return x + self.mlp(self.ln_2(x))


class SmallGPT(nn.Module):
    def __init__(self, vocab=61, width=32, heads=4, layers=2, length=12, dropout=0.1):
        super().__init__()
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(length, width)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids, attention_mask=None, position_ids=None, labels=None):
        length = input_ids.shape[-1]
        if position_ids is None:
            position_ids = torch.arange(length).unsqueeze(0)
        causal = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
        mask = torch.logical_and(causal, attention_mask.bool())
        x = self.drop(self.wte(input_ids) + self.wpe(position_ids))
        for block in self.h:
            x = block(x, mask)
        logits = self.lm_head(self.ln_f(x))
        loss = F.cross_entropy(logits[:, :-1].reshape(-1, logits.size(-1)), labels[:, 1:].reshape(-1), reduction="none")
        return {"loss": loss, "logits": logits}


def add_common_args(parser):
    parser.add_argument("--max_seq_length", type=int, default=12)
    parser.add_argument("--dropout", type=float, default=0.1)


def add_run_args(parser):
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--learning_rate", type=float, default=3e-3)


def get_inputs(args):
    shape = (args.batch_size, args.max_seq_length)
    ids = samba.from_torch_tensor(torch.randint(61, shape), name="input_ids")
    mask = torch.ones(args.batch_size, 1, 1, args.max_seq_length)
    mask = samba.from_torch_tensor(mask.expand(-1, 1, args.max_seq_length, -1), name="attention_mask")
    labels = samba.from_torch_tensor(torch.randint(61, shape), name="labels")
    return ids, mask, None, labels


def get_optimizers(args, model):
    embeddings = OrderedSet([model.wte.weight, model.wpe.weight])
    decay = OrderedSet(p for n, p in model.named_parameters() if n.endswith("weight") and "ln" not in n)
    decay = OrderedSet(p for p in decay if p not in embeddings)
    rest = OrderedSet(p for p in model.parameters() if p not in embeddings and p not in decay)
    settings = {"lr": 0.001, "betas": (0.9, 0.95), "eps": 1e-6, "max_grad_norm": 0.5}
    return [
        samba.optim.AdamW(embeddings, weight_decay=0.0, **settings),
        samba.optim.AdamW(decay, weight_decay=0.05, **settings),
        samba.optim.AdamW(rest, weight_decay=0.0, **settings),
    ]


def train(args, model, traced):
    model_inputs = get_inputs(args)
    weights = torch.linspace(0.5, 1.5, args.max_seq_length - 1).repeat(args.batch_size)
    for step in range(args.steps):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(61, (args.batch_size, 1), generator=generator) + torch.arange(args.max_seq_length)
        fed = [
            samba.from_torch_tensor(ids % 61, name="input_ids"),
            model_inputs[1],
            samba.from_torch_tensor(ids % 61, name="labels"),
        ]
        traced[0].sn_grad = weights / weights.numel()
        outputs = samba.session.run(
            fed,
            traced,
            hyperparam_dict={"lr": args.learning_rate, "p": 0.0},
            section_types=["FWD", "BCKWD", "GRADNORM", "OPT"],
        )
        print(f"step {step} loss {outputs[0].float().mean().item():.5f}")
    samba.session.to_cpu(model)
    state = {name: samba.to_torch(value) for name, value in model.state_dict().items()}
    torch.save(state, "gpt.pt")
    for parameter in model.parameters():
        samba.to_torch(parameter).data.zero_()
    model.load_state_dict(torch.load("gpt.pt"))
    samba.session.to_rdu(model)
    loss = samba.session.run(fed, traced, hyperparam_dict={"p": 0.0}, section_types=["fwd"])[0]
    print(f"evaluated {loss.float().mean().item():.5f}")


def main():
    args = parse_app_args(common_parser_fn=add_common_args, run_parser_fn=add_run_args)
    utils.set_seed(args.max_seq_length)
    model = SmallGPT(length=args.max_seq_length, dropout=args.dropout)
    samba.from_torch_model_(model)
    inputs = get_inputs(args)
    optims = get_optimizers(args, model)
    if args.command == "compile":
        samba.session.compile(model, inputs, optims, name="hf_transformer", init_output_grads=True)
        return
    traced = utils.trace_graph(model, inputs, optims, init_output_grads=True, pef=args.pef, mapping=args.mapping)
    if args.command == "run":
        train(args, model, traced)
    elif args.command == "test":
        fed = [t for t in inputs if t is not None]
        loss, logits = samba.session.run(fed, traced, hyperparam_dict={"p": 0.0}, section_types=["fwd"])
        model.eval()
        gold = model(*inputs)
        utils.assert_close(loss, gold["loss"], "loss", threshold=1e-4)
        utils.assert_close(logits, gold["logits"], "logits", threshold=1e-4)
    elif args.command == "measure-performance":
        utils.measure_performance(model, [t for t in inputs if t is not None], args.batch_size, n_iterations=20)


if __name__ == "__main__":
    main()
