# SPDX-License-Identifier: Apache-2.0
"""Known architectures with random weights, each as a function that gives (model, inputs); the batch is an argument."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _wrapped(model, forward):
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *inputs):
            return forward(self.model, *inputs)

    return Wrapped()


def under_autocast(model):
    import torch

    def forward(model, *inputs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model(*inputs)

    return _wrapped(model, forward)


def _with_cross_entropy(model):
    import torch.nn.functional as F

    return _wrapped(model, lambda model, x, labels: F.cross_entropy(model(x), labels))


def _loss_of(model, ids, labels):
    import torch.nn.functional as F

    logits = model(input_ids=ids, use_cache=False).logits if hasattr(model, "transformer") else model(ids).logits
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), labels.view(-1))


def _next_token(model, ids, keys, values):
    """Logits of the token after `ids`, the keys and values of the tokens before it given by layer."""
    import torch
    import torch.nn.functional as F

    body = model.transformer
    x = body.wte(ids) + body.wpe.weight[keys.shape[3]]
    for layer, block in enumerate(body.h):
        heads = (1, 1, keys.shape[2], keys.shape[4])
        q, k, v = (part.view(heads).transpose(1, 2) for part in block.attn.c_attn(block.ln_1(x)).split(768, dim=2))
        k, v = torch.cat([keys[layer], k], dim=2), torch.cat([values[layer], v], dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 1, -1)
        x = x + block.attn.c_proj(mixed)
        x = x + block.mlp(block.ln_2(x))
    return model.lm_head(body.ln_f(x))


def _resnet(depths):
    """ResNet of bottleneck blocks as torchvision builds it (v1.5: the stride is in the 3x3 convolution)."""
    import torch.nn as nn

    def conv(inputs, outputs, size, stride=1, relu=True):
        layers = [
            nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)

    class Bottleneck(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            self.body = nn.Sequential(
                conv(inputs, width, 1), conv(width, width, 3, stride), conv(width, 4 * width, 1, relu=False)
            )
            same = stride == 1 and inputs == 4 * width
            self.side = nn.Identity() if same else conv(inputs, 4 * width, 1, stride, relu=False)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.body(x) + self.side(x))

    layers, inputs = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, depth in enumerate(depths):
        for block in range(depth):
            layers.append(Bottleneck(inputs, 64 << stage, 2 if stage > 0 and block == 0 else 1))
            inputs = 256 << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


def _mobilenet():
    """MobileNetV2 (Sandler et al. 2018) of width 1: blocks that expand, filter each channel by itself and project."""
    import torch.nn as nn

    def conv(inputs, outputs, size=1, stride=1, groups=1, relu=True):
        layers = [
            nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        return nn.Sequential(*layers, nn.ReLU6()) if relu else nn.Sequential(*layers)

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride, expand):
            super().__init__()
            width = inputs * expand
            self.body = nn.Sequential(
                conv(inputs, width) if expand > 1 else nn.Identity(),
                conv(width, width, 3, stride, groups=width),
                conv(width, outputs, relu=False),
            )
            self.same = stride == 1 and inputs == outputs

        def forward(self, x):
            return x + self.body(x) if self.same else self.body(x)

    layers, inputs = [conv(3, 32, 3, 2)], 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, outputs, depth, stride in stages:
        for block in range(depth):
            layers.append(Block(inputs, outputs, stride if block == 0 else 1, expand))
            inputs = outputs
    return nn.Sequential(*layers, conv(inputs, 1280), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))


def _unet():
    """U-Net (Ronneberger et al. 2015) with padding and batch norm: widths 32 to 256, two classes."""
    import torch
    import torch.nn as nn

    def double(inputs, outputs):
        layers = []
        for width in (inputs, outputs):
            layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self, widths=(32, 64, 128, 256)):
            super().__init__()
            pairs = list(zip((3, *widths), widths, strict=False))
            self.down = nn.ModuleList(double(*pair) for pair in pairs)
            self.rise = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairs[1:])
            self.up = nn.ModuleList(double(2 * a, a) for a, _ in pairs[1:])
            self.pool, self.head = nn.MaxPool2d(2), nn.Conv2d(widths[0], 2, 1)

        def forward(self, x):
            kept = []
            for index, block in enumerate(self.down):
                x = block(self.pool(x) if index else x)
                kept.append(x)
            for rise, up, side in list(zip(self.rise, self.up, kept, strict=False))[::-1]:
                x = up(torch.cat([side, rise(x)], dim=1))
            return self.head(x)

    return UNet()


def _unet_of_volumes():
    """3-D U-Net (Cicek et al. 2016) with padding and batch norm: widths 16 to 64, two classes."""
    import torch
    import torch.nn as nn

    def double(inputs, outputs):
        layers = []
        for width in (inputs, outputs):
            layers += [nn.Conv3d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm3d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.top, self.middle, self.bottom = double(1, 16), double(16, 32), double(32, 64)
            self.rise = nn.ModuleList((nn.ConvTranspose3d(64, 32, 2, 2), nn.ConvTranspose3d(32, 16, 2, 2)))
            self.up = nn.ModuleList((double(64, 32), double(32, 16)))
            self.pool, self.head = nn.MaxPool3d(2), nn.Conv3d(16, 2, 1)

        def forward(self, x):
            top = self.top(x)
            middle = self.middle(self.pool(top))
            x = self.rise[0](self.bottom(self.pool(middle)))
            x = self.rise[1](self.up[0](torch.cat([middle, x], dim=1)))
            return self.head(self.up[1](torch.cat([top, x], dim=1)))

    return UNet()


def _denoiser():
    """A U-Net that predicts noise (Ho et al. 2020): residual blocks with group norm and time, attention where small."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    class Block(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.first = nn.Sequential(nn.GroupNorm(8, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
            self.time = nn.Linear(256, outputs)
            self.second = nn.Sequential(nn.GroupNorm(8, outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, padding=1))
            self.side = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

        def forward(self, x, time):
            return self.side(x) + self.second(self.first(x) + self.time(time)[:, :, None, None])

    class Attention(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm, self.qkv, self.out = (
                nn.GroupNorm(8, width),
                nn.Conv2d(width, 3 * width, 1),
                nn.Conv2d(width, width, 1),
            )

        def forward(self, x):
            batch, width, height, across = x.shape
            q, k, v = self.qkv(self.norm(x)).view(batch, 3, 4, width // 4, -1).transpose(3, 4).unbind(1)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(batch, width, height, across)
            return x + self.out(mixed)

    class UNet(nn.Module):
        def __init__(self, widths=(64, 128, 256)):
            super().__init__()
            self.time = nn.Sequential(nn.Linear(64, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU())
            self.begin = nn.Conv2d(3, widths[0], 3, padding=1)
            pairs = list(zip(widths[:1] + widths, widths, strict=False))
            self.down = nn.ModuleList(Block(*pair) for pair in pairs)
            self.less = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for width in widths[:-1])
            self.bottom, self.mix = Block(widths[-1], widths[-1]), Attention(widths[-1])
            self.up = nn.ModuleList(Block(2 * b, a) for a, b in pairs)
            self.end = nn.Sequential(nn.GroupNorm(8, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], 3, 3, padding=1))

        def forward(self, x, step):
            rates = torch.exp(torch.arange(32) * (-9.21 / 32))
            angles = step[:, None] * rates
            time = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
            x, kept = self.begin(x), []
            for level, block in enumerate(self.down):
                x = block(self.less[level - 1](x) if level else x, time)
                kept.append(x)
            x = self.mix(self.bottom(x, time))
            for level in reversed(range(len(self.up))):
                x = self.up[level](torch.cat([kept[level], x], dim=1), time)
                x = F.interpolate(x, scale_factor=2.0) if level else x
            return self.end(x)

    return UNet()


def _waves():
    """A net of 1-D convolutions over raw sound (M5, Dai et al. 2016), 35 classes."""
    import torch.nn as nn

    layers, inputs = [], 1
    for outputs, size, stride in ((64, 80, 4), (64, 3, 1), (128, 3, 1), (256, 3, 1)):
        layers += [
            nn.Conv1d(inputs, outputs, size, stride, bias=False),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.MaxPool1d(4),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(inputs, 35))


def _recurrent(kind):
    import torch.nn as nn

    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = getattr(nn, kind)(256, 256, 2, batch_first=True)
            self.head = nn.Linear(256, 10)

        def forward(self, x):
            return self.head(self.layers(x)[0][:, -1])

    return Sequence()


def _braggnn():
    """BraggNN (Liu et al. 2022): a convolution, attention over pixels, two convolutions, five Linears."""
    import torch
    import torch.nn as nn

    class PixelAttention(nn.Module):
        def __init__(self, inputs, width):
            super().__init__()
            self.theta, self.phi, self.g = (nn.Conv2d(inputs, width, 1) for _ in range(3))
            self.out = nn.Conv2d(width, inputs, 1)

        def forward(self, x):
            theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
            shares = torch.softmax(theta.transpose(1, 2) @ phi, dim=-1)
            mixed = (shares @ g.transpose(1, 2)).transpose(1, 2)
            return x + self.out(mixed.reshape(*mixed.shape[:2], *x.shape[2:]))

    widths = (64, 32, 16, 8)
    dense = [
        layer for pair in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(*pair), nn.LeakyReLU(0.01))
    ]
    return nn.Sequential(
        nn.Conv2d(1, 64, 3), PixelAttention(64, 32), nn.LeakyReLU(0.01),
        nn.Conv2d(64, 32, 3), nn.LeakyReLU(0.01), nn.Conv2d(32, 8, 3), nn.LeakyReLU(0.01), nn.Flatten(),
        nn.Linear(8 * 5 * 5, 64), nn.LeakyReLU(0.01), *dense, nn.Linear(8, 2),
    )  # fmt: skip


def gpt2_loss(batch, window=64):
    """GPT-2 of 124M parameters."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False))
    ids = torch.randint(50257, (batch, window + 1))
    return _wrapped(model, _loss_of), (ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


def gpt2_xl_loss(batch, window=64):
    """GPT-2 of 1.5B parameters, without data (device meta): it is compiled, and not run."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_layer=48, n_embd=1600, n_head=25, n_positions=1024, use_cache=False)
    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    model.tie_weights()
    ids = torch.randint(50257, (batch, window + 1))
    return _wrapped(model, _loss_of), (ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


def llama_loss(batch, window=128):
    """A Llama of 110M parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        tie_word_embeddings=True, use_cache=False,
    )  # fmt: skip
    ids = torch.randint(config.vocab_size, (batch, window + 1))
    return _wrapped(LlamaForCausalLM(config), _loss_of), (ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


def _vit():
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(num_labels=1000, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return _wrapped(ViTForImageClassification(config), lambda model, x: model(x).logits)


def vit(batch):
    """ViT-B/16, images of 224x224."""
    import torch

    return _vit().eval(), (torch.randn(batch, 3, 224, 224),)


def vit_loss(batch):
    """ViT-B/16, images of 224x224 with labels."""
    import torch

    return _with_cross_entropy(_vit()), (torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,)))


def gpt2_logits(batch):
    """GPT-2 of 124M parameters, windows of 256."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(use_cache=False)).eval()
    return _wrapped(model, lambda model, ids: model(input_ids=ids, use_cache=False).logits), (
        torch.randint(50257, (batch, 256)),
    )


def bert_loss(batch):
    """BERT-base, masked words, windows of 128."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    model = BertForMaskedLM(BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    ids = torch.randint(30522, (batch, 128))
    labels = torch.where(torch.rand(batch, 128) < 0.15, ids, torch.tensor(-100))
    return _wrapped(model, _loss_of), (ids, labels)


def bert_states(batch):
    """BERT-base, the last hidden state and the pooled one, windows of 128."""
    import torch
    from transformers import BertConfig, BertModel

    def forward(model, ids):
        found = model(ids)
        return found.last_hidden_state, found.pooler_output

    return _wrapped(BertModel(BertConfig()).eval(), forward), (torch.randint(30522, (batch, 128)),)


def gpt2_next(batch, context=256):
    """GPT-2 of 124M parameters: the next token after one token with `context` in the cache, tied head."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config()
    model = _wrapped(GPT2LMHeadModel(config).eval(), _next_token)
    cache = (config.n_layer, 1, config.n_head, context, config.n_embd // config.n_head)
    return model, (torch.randint(config.vocab_size, (1, 1)), torch.randn(cache), torch.randn(cache))


def resnet50(batch):
    """ResNet-50, images of 224x224."""
    import torch

    return _resnet((3, 4, 6, 3)).eval(), (torch.randn(batch, 3, 224, 224),)


def resnet50_loss(batch):
    """ResNet-50, images of 224x224 with labels."""
    import torch

    return _with_cross_entropy(_resnet((3, 4, 6, 3))), (torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,)))


def mobilenet(batch):
    """MobileNetV2, images of 224x224."""
    import torch

    return _mobilenet().eval(), (torch.randn(batch, 3, 224, 224),)


def mobilenet_loss(batch):
    """MobileNetV2, images of 224x224 with labels."""
    import torch

    return _with_cross_entropy(_mobilenet()), (torch.randn(batch, 3, 224, 224), torch.randint(1000, (batch,)))


def unet(batch):
    """U-Net of four levels, pictures of 128x128."""
    import torch

    return _unet().eval(), (torch.randn(batch, 3, 128, 128),)


def unet_loss(batch):
    """U-Net of four levels, pictures of 128x128 with a class of each pixel."""
    import torch

    return _with_cross_entropy(_unet()), (torch.randn(batch, 3, 128, 128), torch.randint(2, (batch, 128, 128)))


def lstm(batch):
    """Two LSTM layers of 256 over 64 steps, and a Linear of the last step."""
    import torch

    return _recurrent("LSTM").eval(), (torch.randn(batch, 64, 256),)


def lstm_loss(batch):
    """Two LSTM layers of 256 over 64 steps, labels of whole sequences."""
    import torch

    return _with_cross_entropy(_recurrent("LSTM")), (torch.randn(batch, 64, 256), torch.randint(10, (batch,)))


def gru_loss(batch):
    """Two GRU layers of 256 over 64 steps, labels of whole sequences."""
    import torch

    return _with_cross_entropy(_recurrent("GRU")), (torch.randn(batch, 64, 256), torch.randint(10, (batch,)))


def volumes(batch):
    """3-D U-Net of three levels, volumes of 32x32x32."""
    import torch

    return _unet_of_volumes().eval(), (torch.randn(batch, 1, 32, 32, 32),)


def volumes_loss(batch):
    """3-D U-Net of three levels, volumes of 32x32x32 with a class of each voxel."""
    import torch

    return _with_cross_entropy(_unet_of_volumes()), (
        torch.randn(batch, 1, 32, 32, 32),
        torch.randint(2, (batch, 32, 32, 32)),
    )


def denoiser_loss(batch):
    """A diffusion U-Net, pictures of 32x32 with noise, their steps, and the noise."""
    import torch
    import torch.nn.functional as F

    noise = torch.randn(batch, 3, 32, 32)
    return _wrapped(_denoiser(), lambda model, x, step, noise: F.mse_loss(model(x, step), noise)), (
        torch.randn(batch, 3, 32, 32),
        torch.rand(batch) * 1000,
        noise,
    )


def waves(batch):
    """M5, a second of sound at 8 kHz."""
    import torch

    return _waves().eval(), (torch.randn(batch, 1, 8000),)


def waves_loss(batch):
    """M5, a second of sound at 8 kHz with labels."""
    import torch

    return _with_cross_entropy(_waves()), (torch.randn(batch, 1, 8000), torch.randint(35, (batch,)))


def braggnn(batch):
    """BraggNN: the centre of a diffraction peak in a patch of 11x11."""
    import torch

    return _braggnn().eval(), (torch.randn(batch, 1, 11, 11),)


def braggnn_loss(batch):
    """BraggNN with the mean square error of the centre."""
    import torch
    import torch.nn.functional as F

    return _wrapped(_braggnn(), lambda model, x, y: F.mse_loss(model(x), y)), (
        torch.randn(batch, 1, 11, 11),
        torch.rand(batch, 2),
    )


def lenet_loss(batch):
    """LeNet-5 as in examples/lenet.py."""
    import torch

    sys.path.insert(0, str(ROOT / "examples"))
    from lenet import IMAGE_SHAPE, LeNet

    return _wrapped(LeNet(10), lambda model, *inputs: model(*inputs)[0]), (
        torch.randn(batch, *IMAGE_SHAPE),
        torch.randint(10, (batch,)),
    )
