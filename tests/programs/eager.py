# SPDX-License-Identifier: Apache-2.0
"""A session that computes with plain PyTorch: what a program's numbers are measured against.

It keeps a copy of the model, the "device", whose parameters are ordinary ones, and trains it with autograd and
torch's optimizers. Inputs are bound by name, gradients are seeded and sections are run as the SDK documents it; no
tracer, no compiler and no engine take part.
"""

import copy

import torch
from sambaflow import samba
from sambaflow._tensors.tensor import materialize
from sambaflow.samba.session import SambaSession


def _plain(tensor):
    return samba.to_torch(tensor).detach().clone()


def plain_copy(model):
    """A copy of `model` with ordinary parameters (shared ones stay shared), and its parameter of each given one."""
    twin = copy.deepcopy(model)
    made = {}
    for source, module in zip(model.modules(), twin.modules(), strict=True):
        for name, parameter in source._parameters.items():
            if parameter is not None:
                fresh = torch.nn.Parameter(_plain(parameter), parameter.requires_grad)
                module._parameters[name] = made.setdefault(id(parameter), fresh)
        if isinstance(module, torch.nn.RNNBase):
            module._init_flat_weights()
    return twin, made


def _torch_optimizer(optimizer, parameter_of):
    kind = torch.optim.SGD if isinstance(optimizer, torch.optim.SGD) else torch.optim.AdamW
    takes = {"params", "lr", "momentum", "dampening", "weight_decay", "nesterov", "betas", "eps", "amsgrad"}
    groups = []
    for group in optimizer.param_groups:
        groups.append({key: value for key, value in group.items() if key in takes})
        groups[-1]["params"] = [parameter_of[id(p)] for p in group["params"]]
        groups[-1]["clip"] = group.get("max_grad_norm")
    return kind(groups)


def _leaves(tree):
    leaves = torch.utils._pytree.tree_flatten(tree)[0]
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


class EagerSession(SambaSession):
    """`compile`, `load`, `run`, `to_cpu`, `to_rdu` and device gradients without a device."""

    def compile(self, *_args, **_kwargs):
        raise NotImplementedError("plain PyTorch compiles nothing: start the program with `run`")

    def load(self, model, inputs, optimizers=None, *, loss_indices=None, init_output_grads=True, **_):
        self._template = inputs
        self._inputs = {t.sn_region_name: _plain(t).requires_grad_(t.requires_grad) for t in _leaves(inputs)}
        self._model, parameter_of = plain_copy(model)
        if self.args.inference:
            self._model.eval()
        listed = optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]
        self._given = [optimizer for optimizer in listed if optimizer is not None]
        self._optimizers = [_torch_optimizer(optimizer, parameter_of) for optimizer in self._given]
        for given, at_work in zip(self._given, self._optimizers, strict=True):
            for host, kept in given.state.items():
                at_work.state[parameter_of[id(host)]] = copy.deepcopy(kept)
        self._named = {p.sn_name: parameter_of[id(p)] for p in model.parameters()}
        paths = [f"{model.name}__{path.replace('.', '__')}" for path, _ in model.named_buffers()]
        self._named_buffers = dict(zip(paths, self._model.buffers(), strict=True))
        rehearsal = copy.deepcopy(self._model)
        outputs = [samba.SambaTensor(shape=o.shape, dtype=o.dtype, name=f"output_{i}")
                   for i, o in enumerate(_leaves(self._forward(rehearsal)))]  # fmt: skip
        self._losses = self._choose_losses(outputs, loss_indices)
        self._traced = model.output_tensors = tuple(outputs)
        return self._traced

    def _choose_losses(self, outputs, loss_indices):
        if loss_indices is not None:
            return {index for item in loss_indices for index in (item if isinstance(item, tuple) else (item,))}
        floating = [i for i, o in enumerate(outputs) if o.dtype.is_floating_point]
        return {i for i in floating if outputs[i].dim() == 0} or set(floating[:1])

    def _forward(self, model):
        def value(item):
            return self._inputs[item.sn_region_name] if isinstance(item, torch.Tensor) else item

        arguments = torch.utils._pytree.tree_map(value, self._template)
        result = model(**arguments) if isinstance(arguments, dict) else model(*arguments)
        return list(result.values()) if isinstance(result, dict) else result

    def run(self, input_tensors=(), output_tensors=None, hyperparam_dict=None, section_types=None,
            grad_of_outputs=None, **_):  # fmt: skip
        sections = [s.lower() for s in section_types or ("fwd", "bckwd", "opt")]
        self._apply(hyperparam_dict or {})
        if "fwd" in sections:
            self._bind(input_tensors or ())
            with torch.enable_grad():
                self._outputs = _leaves(self._forward(self._model))
        if "bckwd" in sections and self._optimizers:
            self._backward(grad_of_outputs)
        if "opt" in sections:
            self._update()
        wanted = self._traced if output_tensors is None else output_tensors
        wanted = (wanted,) if isinstance(wanted, torch.Tensor) else wanted
        places = [next(i for i, t in enumerate(self._traced) if t is one) for one in wanted]
        return tuple(samba.from_torch_tensor(self._outputs[i].detach().clone()) for i in places)

    def _apply(self, hyperparameters):
        for module in self._model.modules():
            if isinstance(module, torch.nn.modules.dropout._DropoutNd) and "p" in hyperparameters:
                module.p = hyperparameters["p"]
            if isinstance(module, torch.nn.MultiheadAttention) and "p" in hyperparameters:
                module.dropout = hyperparameters["p"]
        for group in [g for optimizer in self._optimizers for g in optimizer.param_groups]:
            group.update({key: value for key, value in hyperparameters.items() if key in group})

    def _bind(self, tensors):
        for tensor in _leaves(tensors):
            held = self._inputs[tensor.sn_region_name]
            given = _plain(tensor).to(held.dtype)
            given = given.reshape(held.shape) if given.numel() == held.numel() else given
            self._inputs[tensor.sn_region_name] = given.requires_grad_(held.requires_grad)

    def _backward(self, grad_of_outputs):
        self._model.zero_grad(set_to_none=True)
        given = [t.sn_grad for t in self._traced] if grad_of_outputs is None else grad_of_outputs
        seeds = {i: samba.to_torch(grad) for i, grad in enumerate(given) if grad is not None}
        seeds |= {i: torch.ones_like(self._outputs[i]) for i in self._losses if i not in seeds}
        seeds = {i: seed.to(self._outputs[i].dtype).reshape(self._outputs[i].shape) for i, seed in seeds.items()}
        torch.autograd.backward([self._outputs[i] for i in seeds], list(seeds.values()))

    def _update(self):
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                if group["clip"]:
                    torch.nn.utils.clip_grad_norm_(group["params"], group["clip"])
            optimizer.step()

    # ---- weights and gradients

    def to_cpu(self, model):
        self._exchange(model, lambda host, device: host.copy_(device))
        for given, at_work in zip(self._given, self._optimizers, strict=True):
            for ours, theirs in zip(given.param_groups, at_work.param_groups, strict=True):
                for host, device in zip(ours["params"], theirs["params"], strict=True):
                    given.state[host] = copy.deepcopy(at_work.state[device])

    def to_rdu(self, model):
        self._exchange(model, lambda host, device: device.copy_(host))

    def to_device(self):
        for name in self._named:
            materialize(self._converted[name])
            self.write_tensor(self._converted[name])
        for name, buffer in self._named_buffers.items():
            buffer.copy_(self._converted[name])

    def write_tensor(self, tensor):
        with torch.no_grad():
            self._named[tensor.sn_name].copy_(_plain(tensor))

    def _traced_tensors(self):
        return [self._converted[name] for name in self._named]

    def get_tensors_by_name(self, names):
        outputs = {t.sn_name: i for i, t in enumerate(self._traced)}
        held = {**self._named, **self._inputs}
        return [samba.from_torch_tensor(_plain(self._outputs[outputs[n]] if n in outputs else held[n])) for n in names]

    def _exchange(self, model, copy_one):
        with torch.no_grad():
            for parameter in model.parameters():
                copy_one(samba.to_torch(parameter).detach(), self._named[parameter.sn_name].detach())
            for host, device in zip(model.buffers(), self._model.buffers(), strict=True):
                copy_one(host, device)

    def gradient_of(self, tensor):
        held = self._named.get(tensor.sn_name, self._inputs.get(tensor.sn_name))
        return None if held is None or held.grad is None else samba.from_torch_tensor(held.grad.clone())


def install():
    """From here on, `samba.session` computes with plain PyTorch."""
    samba.session = EagerSession()
