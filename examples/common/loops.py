# SPDX-License-Identifier: Apache-2.0
"""Training, evaluation and inference of a traced image classifier `forward(image, label) -> (loss, logits)`."""

import itertools
import os

import numpy as np
import torch
import torch.nn.functional as F
from sambaflow import samba

from .data import batches_in_order, load_split, shuffled_batches
from .files import save_checkpoint, write_array, write_json, write_whole
from .progress import progress


def hyperparameters(args):
    """What SGD uses in a step. They are given at run time, so one PEF serves every schedule."""
    return {"lr": args.lr, "momentum": args.momentum, "weight_decay": args.weight_decay}


def as_inputs(images, labels, shape):
    """The two named inputs of a step; `shape` is what the model takes for one image."""
    images = images.reshape(len(images), *shape)
    return [
        samba.from_torch_tensor(images, name="image", batch_dim=0),
        samba.from_torch_tensor(labels, name="label", batch_dim=0),
    ]


def train(args, model, optimizer, shape, start=(0, 0)):
    """Trains to `args.num_epochs`; prints loss and accuracy and writes a checkpoint every epoch.

    `start`: the epochs that are finished, and the steps that were taken of the next one.
    """
    data, held_out = load_split(args.data_dir, train=True), load_split(args.data_dir, train=False)
    steps_per_epoch = len(data) // args.batch_size
    if not steps_per_epoch:
        raise ValueError(f"{len(data)} images are less than a batch of {args.batch_size}: use a smaller --batch-size")
    hyper, done = hyperparameters(args), 0
    first_epoch, taken = start
    if taken >= steps_per_epoch:
        raise ValueError(
            f"the checkpoint has {taken} steps of an epoch of {steps_per_epoch}: other data or batch size?"
        )
    for epoch in range(first_epoch, args.num_epochs):
        losses = []
        batches = itertools.islice(shuffled_batches(data, args.batch_size, args.seed, epoch), taken, None)
        label = f"epoch {epoch + 1}/{args.num_epochs}"
        for images, labels in progress(batches, steps_per_epoch - taken, label, losses):
            loss, _ = samba.session.run(
                input_tensors=as_inputs(images, labels, shape),
                output_tensors=model.output_tensors,
                hyperparam_dict=hyper,
            )
            losses.append(samba.to_torch(loss))
            done += 1
            if done == args.num_steps:
                break
        mean_loss = float(torch.stack(losses).mean())
        accuracy, test_loss = evaluate(args, model, held_out, shape)
        taken = (taken + len(losses)) % steps_per_epoch
        label += f", step {taken}/{steps_per_epoch}" if taken else ""
        print(f"{label}: loss {mean_loss:.4f}, test loss {test_loss:.4f}, test accuracy {accuracy:.2f} %", flush=True)
        path = _save(args, model, optimizer, epoch if taken else epoch + 1, taken)
        if done == args.num_steps:
            break
    if done:
        print(f"checkpoint: {path}")
    else:
        print(f"nothing to train: the checkpoint has {first_epoch} epochs, --num-epochs is {args.num_epochs}")


def _save(args, model, optimizer, epoch, step):
    """After `epoch` epochs and `step` steps of the next one."""
    folder = args.ckpt_dir or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "checkpoints")
    part = f"-step-{step:05d}" if step else ""
    path = os.path.join(folder, f"{type(model).__name__.lower()}-epoch-{epoch:04d}{part}.pt")
    samba.session.to_cpu(model)
    save_checkpoint(path, model, optimizer, epoch, step)
    return path


def _logits(model, images, labels, shape):
    """Forward sections only. A last batch that is smaller than the PEF's gives as many rows as it has."""
    _, logits = samba.session.run(
        input_tensors=as_inputs(images, labels, shape),
        output_tensors=model.output_tensors,
        section_types=["fwd"],
    )
    return samba.to_torch(logits)


def evaluate(args, model, data, shape):
    """Accuracy in per cent and mean loss over `data`; weights stay as they are."""
    correct, loss_sum = 0, 0.0
    for images, labels in batches_in_order(data, args.batch_size):
        logits = _logits(model, images, labels, shape)
        correct += int((logits.argmax(dim=1) == labels).sum())
        loss_sum += float(F.cross_entropy(logits, labels, reduction="sum"))
    return 100.0 * correct / len(data), loss_sum / len(data)


def test_accuracy(args, model, shape):
    """`run --test`: the accuracy line, nothing else."""
    accuracy, loss = evaluate(args, model, load_split(args.data_dir, train=False), shape)
    print(f"test accuracy {accuracy:.2f} %, test loss {loss:.4f}")


def infer(args, model, shape):
    """`run --inference`: predictions of the test images into the results folder. Labels serve the summary alone."""
    data = load_split(args.data_dir, train=False, need_labels=False)
    placeholder = torch.zeros(args.batch_size, dtype=torch.int64)
    batches = progress(batches_in_order(data, args.batch_size), -(-len(data) // args.batch_size), "inference")
    pieces = [_logits(model, images, placeholder[: len(images)], shape) for images, _ in batches]
    write_predictions(args, torch.cat(pieces), data.labels)


def write_predictions(args, logits, labels):
    """Logits, the class of each image and a summary into the results folder; accuracy where `labels` are not None."""
    predictions = logits.argmax(dim=1)
    folder = args.results_path or os.path.join(os.path.dirname(os.path.abspath(args.pef)), "results")
    lines = "".join(f"{index},{int(digit)}\n" for index, digit in enumerate(predictions))
    write_array(os.path.join(folder, "logits.npy"), logits.numpy().astype(np.float32))
    write_whole(os.path.join(folder, "predictions.csv"), lambda stream: stream.write(f"image,class\n{lines}".encode()))
    summary, shown = {"images": len(logits)}, "no labels"
    if labels is not None:
        summary["accuracy"] = 100.0 * float((predictions == labels).double().mean())
        shown = f"accuracy {summary['accuracy']:.2f} %"
    write_json(os.path.join(folder, "summary.json"), summary)
    print(f"inference: {len(logits)} images, {shown}, results in {folder}")
