# SPDX-License-Identifier: Apache-2.0
"""The example models, compiled into a folder and traced, for tests that stay in one process."""

import copy
from dataclasses import dataclass

import lenet
import logreg
import resffn
import torch
from sambaflow import samba
from sambaflow.samba import utils

MODELS = {
    "logreg": (lambda: logreg.LogReg(784, 10), (784,)),
    "resffn": (lambda: resffn.ResFFN(784, 512, 10), (784,)),
    "lenet": (lambda: lenet.LeNet(10), lenet.IMAGE_SHAPE),
}


@dataclass
class Traced:
    """A model at work: converted, compiled, traced; `reference` is its copy in plain PyTorch."""

    model: object
    reference: object
    inputs: tuple
    optimizer: object
    pef: str
    outputs: tuple
    image_shape: tuple

    def step(self, images, labels, **options):
        """One session.run; (loss, logits) as torch tensors."""
        tensors = named_inputs(images.reshape(len(images), *self.image_shape), labels)
        found = samba.session.run(input_tensors=tensors, output_tensors=self.outputs, **options)
        return [samba.to_torch(tensor) for tensor in found]


def named_inputs(images, labels):
    return [samba.from_torch_tensor(images, name="image"), samba.from_torch_tensor(labels, name="label")]


def build(name, batch_size, seed=3):
    """Model, plain copy, named inputs."""
    make, image_shape = MODELS[name]
    utils.set_seed(seed)
    model = make()
    reference = copy.deepcopy(model)
    samba.from_torch_model_(model)
    image = samba.randn(batch_size, *image_shape, name="image", batch_dim=0)
    label = samba.randint(10, (batch_size,), name="label", batch_dim=0)
    return model, reference, (image, label), image_shape


def compile_only(name, folder, batch_size=32, inference=False, pef_name=None, **config):
    """Compiles an example model into `folder`; the path of the PEF."""
    model, _, inputs, _ = build(name, batch_size)
    optimizer = None if inference else samba.optim.SGD(model.parameters(), lr=0.0)
    settings = {"output_folder": str(folder), "pef_name": pef_name or name, "inference": inference, **config}
    return samba.session.compile(model, inputs, optimizer, name=name, config_dict=settings, inference=inference)


def traced(name, folder, batch_size=32, inference=False, **sgd):
    """Compiles and traces an example model."""
    model, reference, inputs, image_shape = build(name, batch_size)
    optimizer = None if inference else samba.optim.SGD(model.parameters(), **{"lr": 0.0, **sgd})
    settings = {"output_folder": str(folder), "pef_name": name, "inference": inference}
    pef = samba.session.compile(model, inputs, optimizer, name=name, config_dict=settings, inference=inference)
    outputs = utils.trace_graph(model, inputs, optimizer, pef=pef)
    return Traced(model, reference, inputs, optimizer, pef, outputs, image_shape)


def random_batch(batch_size, image_shape, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch_size, *image_shape, generator=generator)
    return images, torch.randint(10, (batch_size,), generator=generator)
