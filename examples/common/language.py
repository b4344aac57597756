# SPDX-License-Identifier: Apache-2.0
"""Training, evaluation and sampling of a language model `forward(tokens, targets) -> (loss, logits)`."""

import os
import sys

import torch
import torch.nn.functional as F
from sambaflow import samba

from .files import save_checkpoint
from .progress import progress
from .text import load_text, window_batch, windows_in_order

_EVALUATION_BATCHES = 20


def as_inputs(tokens, targets):
    """The two named inputs of a step."""
    return [
        samba.from_torch_tensor(tokens, name="tokens", batch_dim=0),
        samba.from_torch_tensor(targets, name="targets", batch_dim=0),
    ]


def _text(args):
    if not args.data_file:
        raise ValueError("--data-file is missing: name any text file to train on")
    return load_text(args.data_file, args.length)


def train_step(model, tokens, targets, hyper):
    """One step on the device; the loss, an f32 tensor of no dimensions."""
    loss, _ = samba.session.run(
        input_tensors=as_inputs(tokens, targets), output_tensors=model.output_tensors, hyperparam_dict=hyper
    )
    return samba.to_torch(loss)


def train_text(args, model, optimizer, first_step=0):
    """Trains from `first_step` to `args.num_steps`; prints losses and writes a checkpoint every --ckpt-interval."""
    text = _text(args)
    if first_step >= args.num_steps:
        print(f"nothing to train: the checkpoint has {first_step} steps, --num-steps is {args.num_steps}")
        return
    hyper, losses, path = {"lr": args.lr, "weight_decay": args.weight_decay}, [], None
    steps = range(first_step, args.num_steps)
    for step in progress(steps, len(steps), "training", losses):
        tokens, targets = window_batch(text.train, args.batch_size, args.length, args.seed, step)
        losses.append(float(train_step(model, tokens, targets, hyper)))
        done = step + 1
        if done % args.ckpt_interval == 0 or done == args.num_steps:
            mean = sum(losses) / len(losses)
            losses.clear()
            print(f"step {done}/{args.num_steps}: loss {mean:.4f}, {_held_out(args, model, text)}", flush=True)
            path = _save(args, model, optimizer, done)
    print(f"checkpoint: {path}")


def _save(args, model, optimizer, step):
    folder = args.ckpt_dir or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "checkpoints")
    path = os.path.join(folder, f"{type(model).__name__.lower()}-step-{step:06d}.pt")
    samba.session.to_cpu(model)
    save_checkpoint(path, model, optimizer, step)
    return path


def _logits(model, tokens, targets):
    """Forward sections only: f32 [batch, length, bytes]."""
    _, logits = samba.session.run(
        input_tensors=as_inputs(tokens, targets), output_tensors=model.output_tensors, section_types=["fwd"]
    )
    return samba.to_torch(logits)


def _held_out(args, model, text):
    """The words `held-out loss X` over the first windows of the held-out text; weights stay as they are."""
    losses = []
    for tokens, targets in windows_in_order(text.held_out, args.batch_size, args.length, _EVALUATION_BATCHES):
        losses.append(F.cross_entropy(_logits(model, tokens, targets).flatten(0, 1), targets.flatten()))
    if not losses:
        return f"held-out loss unknown ({len(text.held_out)} bytes are less than a batch)"
    return f"held-out loss {float(torch.stack(losses).mean()):.4f}"


def evaluate_text(args, model):
    """`run --test`: the held-out loss, nothing else."""
    print(_held_out(args, model, _text(args)))


def sample(args, model):
    """`run --inference`: writes --num-tokens bytes that go on from --prompt to standard output, as they come."""
    written = list(args.prompt.encode())
    if not written:
        raise ValueError("--prompt is empty: give at least one character")
    generator = torch.Generator().manual_seed(args.seed)
    tokens = torch.zeros(args.batch_size, args.length, dtype=torch.int64)
    _put(written)
    for _ in range(args.num_tokens):
        context = written[-args.length :]
        tokens[0, : len(context)] = torch.tensor(context)
        written.append(_choose(_logits(model, tokens, tokens)[0, len(context) - 1], args.temperature, generator))
        _put(written[-1:])
    _put(b"\n")


def _choose(logits, temperature, generator):
    if temperature <= 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, dim=0), 1, generator=generator))


def _put(data):
    sys.stdout.buffer.write(bytes(data))
    sys.stdout.buffer.flush()
