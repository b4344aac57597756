# SPDX-License-Identifier: Apache-2.0
"""A training with everything that a checkpoint must hold: dropout on the device, AdamW, batch norm, shuffled data with
random transforms, a learning-rate schedule. Run as a program it trains again and again in children that it kills.

    python checkpoint_training.py FOLDER KIND [KIND ...]

KIND is `calls` (killed at each write, sync and rename of the checkpoints) or `moments` (at random times). Each child's
successor resumes from what it finds; one line a trial says what came out.
"""

import contextlib
import os
import random
import signal
import struct
import sys
import time

import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.sambaloader import SambaLoader
from sambaflow.samba.utils.checkpoint import ResumableLoader, load_checkpoint, save_checkpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH, EPOCHS, EVERY = 4, 3, 3
STEPS_PER_EPOCH = 8
STEPS = EPOCHS * STEPS_PER_EPOCH


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(8, 3)

    def forward(self, image, label):
        hidden = self.drop(torch.relu(self.norm(self.hidden(image))))
        logits = self.out(hidden)
        return F.cross_entropy(logits, label), logits


def noisy(samples):
    """A batch with a random transform, drawn by the process that trains."""
    images = torch.stack([image for image, _ in samples])
    return images + 0.01 * torch.randn_like(images), torch.stack([label for _, label in samples])


def make(folder, threaded=False):
    """Model, optimizer, inputs and loader from a fixed seed. `threaded`: a SambaLoader, whose thread runs ahead."""
    utils.set_seed(3)
    model = Net()
    samba.from_torch_model_(model)
    optimizer = samba.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    inputs = (samba.randn(BATCH, 6, name="image"), samba.randint(3, (BATCH,), name="label"))
    count = BATCH * STEPS_PER_EPOCH
    data = TensorDataset(torch.randn(count, 6), torch.randint(3, (count,)))
    if threaded:
        loader = SambaLoader(DataLoader(data, batch_size=BATCH, shuffle=True), ["image", "label"])
    else:
        loader = DataLoader(data, batch_size=BATCH, shuffle=True, collate_fn=noisy)
    return model, optimizer, inputs, ResumableLoader(loader)


def compile_program(folder, threaded=False):
    model, optimizer, inputs, _ = make(folder, threaded)
    config = {"output_folder": folder, "pef_name": "net"}
    return samba.session.compile(model, inputs, optimizer, config_dict=config)


def train(folder, report, threaded=False, steps=STEPS):
    """Trains to the end of `steps`, from the checkpoint in `folder` if there is one; `report(kind, step, loss)`."""
    model, optimizer, inputs, loader = make(folder, threaded)
    path, step = os.path.join(folder, "net.pt"), 0
    if os.path.exists(path):
        step = load_checkpoint(path, model, optimizer, loader=loader).step
        report("resumed", step)
    outputs = utils.trace_graph(model, inputs, optimizer, pef=os.path.join(folder, "net", "net.pef"))
    while loader.epoch < EPOCHS and step < steps:
        for image, label in loader:
            named = [
                samba.from_torch_tensor(image, name="image"),
                samba.from_torch_tensor(label, name="label"),
            ]
            rate = 0.01 * (1 - step / STEPS)
            loss, _ = samba.session.run(named, outputs, hyperparam_dict={"lr": rate})
            step += 1
            report("loss", step, float(loss))
            if step % EVERY == 0:
                save_checkpoint(path, model, optimizer, loader=loader, step=step)
                report("saved", step)
            if step == steps:
                break


# ---- trials


CALLS = ("write", "fsync", "replace")


@contextlib.contextmanager
def killed_at(call, number):
    """Ends the process at the `number`-th use of os.<call>: a write half done, a sync or rename not done or done."""
    original = getattr(os, call)
    seen = 0

    def replaced(*args, **kwargs):
        nonlocal seen
        seen += 1
        if seen == number:
            if call == "write":
                original(args[0], bytes(args[1])[: len(args[1]) // 2])
            if number % 2 and call != "write":
                original(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(os, call, replaced)
    try:
        yield
    finally:
        setattr(os, call, original)


def in_child(work):
    """Runs `work(report)` in a forked child; returns its process id and the pipe of its reports."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, read
    os.close(read)
    send = os.write

    def report(kind, step, loss=0.0):
        send(write, struct.pack("<8sqd", kind.encode(), step, loss))

    try:
        work(report)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)
    os._exit(0)


def reports_of(child, pipe):
    """All reports of a child and its exit status."""
    data = b""
    while block := os.read(pipe, 65536):
        data += block
    os.close(pipe)
    status = os.waitpid(child, 0)[1]
    size = struct.calcsize("<8sqd")
    found = [struct.unpack("<8sqd", data[i : i + size]) for i in range(0, len(data) - size + 1, size)]
    return [(kind.rstrip(b"\0").decode(), step, loss) for kind, step, loss in found], status


def judge(first, second, status, expected):
    """What came out of one trial: an empty string if all is well."""
    saved = [step for kind, step, _ in first if kind == "saved"]
    resumed = [step for kind, step, _ in second if kind == "resumed"]
    start = resumed[0] if resumed else 0
    if status:
        return f"the resumed run ended with status {status}"
    if saved and start < saved[-1]:
        return f"checkpoint of step {saved[-1]} was lost: resumed from {start}"
    for reports in (first, second):
        for kind, step, loss in reports:
            if kind == "loss" and struct.pack("<d", loss) != struct.pack("<d", expected[step]):
                return f"loss of step {step} is {loss!r}, not {expected[step]!r}"
    last = max((step for kind, step, _ in second if kind == "loss"), default=start)
    return "" if last == STEPS else f"the resumed run ended at step {last}"


def trial(folder, kill, expected):
    """One child that is killed, one that goes on."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, "net.pt"))
    child, pipe = in_child(kill)
    kill_at = getattr(kill, "seconds", None)
    if kill_at is not None:
        time.sleep(kill_at)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    first, killed = reports_of(child, pipe)
    second, status = reports_of(*in_child(lambda report: train(folder, report)))
    return judge(first, second, status, expected), os.WIFSIGNALED(killed)


def at_each_call(folder):
    for call in CALLS:
        for number in range(1, 1 + (STEPS // EVERY) * (2 if call == "fsync" else 1)):

            def kill(report, call=call, number=number):
                with killed_at(call, number):
                    train(folder, report)

            yield f"{call} {number}", kill


def at_random_moments(folder, seconds, count=20):
    chosen = random.Random(5)
    for number in range(count):

        def kill(report):
            train(folder, report)

        kill.seconds = seconds * chosen.uniform(0.05, 1.0)
        yield f"moment {number} ({kill.seconds:.3f} s)", kill


def main():
    folder, kinds = sys.argv[1], sys.argv[2:]
    torch.set_num_threads(1)
    compile_program(folder)
    started = time.monotonic()
    reference, status = reports_of(*in_child(lambda report: train(folder, report)))
    seconds = time.monotonic() - started
    expected = {step: loss for kind, step, loss in reference if kind == "loss"}
    if status or len(expected) != STEPS:
        raise SystemExit(f"the uninterrupted run failed: status {status}, {len(expected)} losses")
    for kind in kinds:
        for label, kill in at_each_call(folder) if kind == "calls" else at_random_moments(folder, seconds):
            wrong, killed = trial(folder, kill, expected)
            print(f"{kind} | {label} | {'killed' if killed else 'ended'} | {wrong or 'ok'}", flush=True)


if __name__ == "__main__":
    main()
