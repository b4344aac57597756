# SPDX-License-Identifier: Apache-2.0
"""A masked language model in bfloat16, configured and trained in the way of the vendor's Model Zoo.

Habits: no parse_app_args but a YAML file read into CompileArgs and RunArgs, session.setup, a model made on the device
meta for the compile and with weights for the run, model.bfloat16(), inputs as a dict of keyword arguments with a tuple
inside, loss_indices=[0], an unreduced loss with ignore_index whose sn_grad is a float32 scale, the loss alone as output
tensor, the arguments recovered from the PEF by get_pef_info, state dict saved as plain tensors.
"""

import argparse
import collections
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
import yaml
from pydantic import BaseModel, ConfigDict
from sambaflow import samba
from sambaflow.samba import utils
from sambaflow.samba.argconf.args import CommonArgs, CompileArgs, RunArgs
from sambaflow.samba.utils.pef_utils import PefInfoStruct, get_pef_info, get_pefmeta_dict

IGNORED = -100


class ModelConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")
    vocab_size: int
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    intermediate_size: int
    layer_norm_eps: float
    initializer_range: float
    tie_word_embeddings: bool


class TrainingConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")
    batch_size: int
    max_seq_length: int
    max_steps: int
    learning_rate: float
    grad_scale: float


class AppConfig(BaseModel):
    """The whole file; the two levels of the SDK check themselves."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    model: ModelConfig
    training: TrainingConfig
    samba_compile: CompileArgs
    samba_run: RunArgs


class Output(collections.OrderedDict):
    """A dict that is indexed by number, too."""

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.query, self.value, self.dense = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))
        self.key = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, states, bias):
        def split(x):
            return x.view(*x.size()[:-1], self.heads, -1).permute(0, 2, 1, 3)

        q, k, v = split(self.query(states)), split(self.key(states)), split(self.value(states))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.size(-1)) + bias
        mixed = torch.matmul(nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype), v)
        return self.dense(mixed.permute(0, 2, 1, 3).reshape(states.shape))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = SelfAttention(config)
        self.norm_1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm_2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, states, bias):
        states = self.norm_1(states + self.attention(states, bias))
        return self.norm_2(states + self.output(nn.functional.gelu(self.intermediate(states))))


class MaskedLM(nn.Module):
    def __init__(self, config, length):
        super().__init__()
        self.config = config
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=0)
        self.position_embeddings = nn.Embedding(length, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(2, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.decoder.weight = self.word_embeddings.weight
        self.register_buffer("position_ids", torch.arange(length).expand((1, -1)), persistent=False)

    def init_weights(self):
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                module.weight.data.normal_(mean=0.0, std=self.config.initializer_range)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.data.zero_()
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight.data[module.padding_idx].zero_()

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None, return_dict=True):
        padding, segments = attention_mask
        x = self.word_embeddings(input_ids) + self.position_embeddings(self.position_ids)
        x = self.norm(x + self.token_type_embeddings(token_type_ids))
        allowed = padding[:, None, None, :].bool() & segments[:, None, :, :].bool()
        bias = torch.zeros(allowed.shape, dtype=x.dtype).masked_fill(~allowed, torch.finfo(x.dtype).min)
        for layer in self.layer:
            x = layer(x, bias)
        logits = self.decoder(x)
        loss_fct = nn.CrossEntropyLoss(reduction="none", ignore_index=IGNORED)
        loss = loss_fct(logits.view(-1, self.config.vocab_size).float(), labels.view(-1))
        return Output(loss=loss, logits=logits) if return_dict else (loss, logits)


def make_model(cfg: AppConfig, meta: bool):
    if meta:
        with torch.device("meta"):
            model = MaskedLM(cfg.model, cfg.training.max_seq_length)
    else:
        model = MaskedLM(cfg.model, cfg.training.max_seq_length)
        model.init_weights()
    model = model.bfloat16()
    samba.from_torch_model_(model)
    return model


def make_optimizer(cfg: AppConfig, model):
    return samba.optim.AdamW(
        model.parameters(), lr=cfg.training.learning_rate, betas=(0.9, 0.95), eps=1e-3, weight_decay=0.01
    )


def batch_of(cfg: AppConfig, step: int) -> dict[str, torch.Tensor]:
    """Sentences that count upwards; every fourth word is hidden and to be found."""
    generator = torch.Generator().manual_seed(step)
    batch, length = cfg.training.batch_size, cfg.training.max_seq_length
    ids = (torch.randint(3, 40, (batch, 1), generator=generator) + torch.arange(length)) % cfg.model.vocab_size
    hidden = torch.rand(ids.shape, generator=generator) < 0.25
    hidden[:, 0] = True
    padding = torch.ones(batch, length, dtype=torch.int32)
    padding[0, -3:] = 0
    return {
        "input_ids": ids.masked_fill(hidden, 1),
        "padding": padding,
        "segments": torch.ones(batch, length, length, dtype=torch.int32),
        "token_type_ids": (torch.arange(length) >= length // 2).long().expand(batch, -1),
        "labels": ids.masked_fill(~hidden | (padding == 0), IGNORED),
    }


def samba_inputs(batch: dict[str, torch.Tensor]) -> dict[str, Any]:
    named = {name: samba.from_torch_tensor(tensor, name=name) for name, tensor in batch.items()}
    mask = (named.pop("padding"), named.pop("segments"))
    return {"input_ids": named["input_ids"], "attention_mask": mask, "token_type_ids": named["token_type_ids"],
            "labels": named["labels"]}  # fmt: skip


def compile(cfg: AppConfig) -> str:
    samba.session.setup(cfg.samba_compile)
    model = make_model(cfg, meta=True)
    compile_dict = cfg.samba_compile.model_dump()
    app_args = {name: getattr(cfg.samba_compile, name) for name in CommonArgs.model_fields}
    return samba.session.compile(
        model, samba_inputs(batch_of(cfg, 0)), optimizers=make_optimizer(cfg, model), name="masked_lm",
        inference=cfg.samba_compile.inference, config_dict=compile_dict, init_output_grads=True,
        pef_metadata=get_pefmeta_dict({"pydantic_app_args": app_args, "training": cfg.training.model_dump()}, model),
    )  # fmt: skip


def load(cfg: AppConfig):
    pef = cfg.samba_run.pef
    stored = get_pef_info(pef, {name: PefInfoStruct({}) for name in ("pydantic_app_args", "training")})
    common = {k: v for k, v in stored["pydantic_app_args"].items() if k in cfg.samba_run.model_fields_set | {"arch"}}
    run_args = RunArgs(**{**cfg.samba_run.model_dump(), **common})
    assert RunArgs(**run_args.model_dump()) == run_args and stored["training"] == cfg.training.model_dump()
    samba.session.setup(run_args)
    utils.set_seed(77)
    model = make_model(cfg, meta=False)
    optimizer = make_optimizer(cfg, model)
    traced = utils.trace_graph(
        model, samba_inputs(batch_of(cfg, 0)), optimizer, pef=run_args.pef, mapping="section", loss_indices=[0],
        init_output_grads=True, data_parallel_mode="normal",
    )  # fmt: skip
    return model, traced


def evaluate(cfg: AppConfig, traced) -> float:
    batch = batch_of(cfg, 1000)
    loss = samba.session.run(samba_inputs(batch), traced[0], section_types=["fwd"])[0]
    return (samba.to_torch(loss).float().sum() / (batch["labels"] != IGNORED).sum()).item()


def train(cfg: AppConfig) -> None:
    model, traced = load(cfg)
    loss_tensor = traced[0]
    for step in range(cfg.training.max_steps):
        batch = batch_of(cfg, step)
        count = (batch["labels"] != IGNORED).sum()
        grad_scale = torch.full(loss_tensor.shape, cfg.training.grad_scale, dtype=torch.float32) / count
        loss_tensor.sn_grad = grad_scale
        rate = cfg.training.learning_rate * min(1.0, (step + 1) / 3)
        loss = samba.session.run(
            samba_inputs(batch), loss_tensor, hyperparam_dict={"lr": rate, "weight_decay": 0.01},
            data_parallel=False, reduce_on_rdu=False,
        )[0]  # fmt: skip
        print(f"step {step} loss {(samba.to_torch(loss).float() * grad_scale).sum().item():.3f}")
    print(f"eval loss {evaluate(cfg, traced):.3f}")
    samba.session.to_cpu(model)
    state = {name: samba.to_torch(value).float() for name, value in model.state_dict().items()}
    torch.save(state, "masked_lm.pt")


def test(cfg: AppConfig) -> None:
    model, traced = load(cfg)
    inputs = samba_inputs(batch_of(cfg, 3))
    loss, logits = samba.session.run(inputs, traced, section_types=["fwd"])
    gold = model(**inputs)
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32 and (loss == 0).any()
    utils.assert_close(loss, gold[0], "loss", threshold=0.05, rtol=0.02)
    utils.assert_close(logits, gold["logits"], "logits", threshold=0.05, rtol=0.02)


def measure(cfg: AppConfig, iterations: int) -> None:
    model, _ = load(cfg)
    throughput, latency = utils.measure_performance(
        model, samba_inputs(batch_of(cfg, 0)), cfg.training.batch_size, n_iterations=iterations
    )
    assert throughput > 0 and latency > 0


def configuration() -> tuple[argparse.Namespace, AppConfig]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=["compile", "run", "test", "measure-performance"])
    parser.add_argument("--config", default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--output-folder")
    parser.add_argument("--pef-name")
    parser.add_argument("--pef")
    parser.add_argument("--num-iterations", type=int, default=5)
    options = parser.parse_args()
    values = yaml.safe_load(Path(options.config).read_text())
    values["samba_compile"].update({k: v for k, v in vars(options).items() if v and k in ("output_folder", "pef_name")})
    values["samba_run"]["pef"] = options.pef
    return options, AppConfig(**values)


def main() -> None:
    options, cfg = configuration()
    utils.set_seed(77)
    if options.command == "compile":
        assert Path(compile(cfg)).is_file()
    elif options.command == "run":
        train(cfg)
    elif options.command == "test":
        test(cfg)
    else:
        measure(cfg, options.num_iterations)


if __name__ == "__main__":
    main()
