# SPDX-License-Identifier: Apache-2.0
"""Lines of random programs that change what exists, modules that they call, and forms of what they return.

Holes are those of catalog.py.
"""

from catalog import lines_of

# Writes in place, by views and aliases.
WRITES = lines_of("""
{f}.mul_({c})
{f}.add_({f1})
{f}.clamp_(min={c})
{f}[0] = {c}
{f}[..., :1] += {c}
{f}.narrow(0, 0, 1).zero_()
{f}.t_()
{f}.copy_({f1})
{f}.transpose(0, -1).mul_(2.0)
{f}.masked_fill_({f} > 0, {c})
{f}.flatten()[:2].add_(1.0)
{f}.view(-1)[0] = {c}
{f}.fill_({c})
{f}.diagonal().add_(1.0)
{f}.unsqueeze(0).sub_({f1})
{f}.data.mul_({c})
{f}.detach().add_({c})
{o}.data = {o}.data.sign()
torch.add({f}, {f1}, out={f2})
{f}.squeeze_()
{f}.index_fill_(0, torch.tensor([0]), {c})
{f}.exp_()
{f}.relu_()
{i}.add_(1)
{f}.index_add_(0, torch.tensor([0]), {f1}[:1])
{p}.data.clamp_(-0.5, 0.5)
{p}.data = {p}.data.sign()
{p}.data.mul_(0.5)
{f}.sigmoid_()
{f}.register_hook(lambda g: g * 0.5)
{f}.view(-1)[1:].mul_({c})
{f}.flatten()[::2].zero_()
{f}.reshape(-1)[:1].add_(1.0)
{f}[..., 0].t().sub_(0.5)
{f}.T[0] = {f1}.flatten()[0]
{f}.as_strided((2,), (1,)).mul_(2.0)
{f}.view_as({f1}).add_({f1})
{f}.unsqueeze(-1).transpose(0, -1).neg_()
{f}[{b}] = {c}
{i}[..., 0] = 1
{b}.logical_not_()
{f}.index_put_((torch.tensor([0]),), {f1})
{f}.scatter_(0, torch.zeros_like({i}), {c})
F.relu({f}, inplace=True)
{f}.detach_()
{f}.requires_grad_(False)
{f}.unfold(0, 1, 1).mul_(2.0)
{f}.narrow({d}, 0, 1).copy_({f1}.narrow({d}, 0, 1))
""")
# The same in a region without autograd: lines, separated by semicolons.
SILENT = lines_of("""
{f}.clamp_(min={c})
{f}.mul_(2.0)
{name} = {f}.exp()
{f}[..., 0] = {c}
{p}.clamp_(-0.5, 0.5)
{name} = {f} * {p}
{p}.mul_(0.9)
{f}.narrow(0, 0, 1).zero_()
{f}.copy_({f1})
{f}[0].add_({f1}[0]); {f}.mul_(0.5); {name} = {f}.sin()
{p}.copy_({p}.sign()); {p}.mul_(0.5)
{name} = torch.exp({p}); {p}.sub_({name} * 0.01)
self.buffer.add_(1.0); {name} = self.buffer * {f}
""")
# State that outlives a call.
STATE = lines_of("""
self.state = self.state * 0.5 + {f}.detach().mean()
self.buffer.mul_(0.5).add_({f}.detach().mean())
self.buffer = self.buffer * 0.5 + {f}.detach().mean()
self.attribute = self.attribute + 1.0
self.attribute.add_({f}.detach().sum())
self.buffer.data = self.buffer.data * 0.5 + 1.0
self._buffers['buffer'] = self.buffer + {f}.detach().mean()
setattr(self, 'buffer', self.buffer * 2.0 + 1.0)
self.buffer.copy_({f}.detach().mean())
self.counter += 1
self.kept[0] = self.kept[0] + {f}.detach().mean()
self.attribute = {f}.detach().sum()
self.buffer, self.attribute = self.attribute + 1.0, self.buffer * 0.5
self.kept.append(self.kept.pop() + 1.0)
self.buffer.lerp_({f}.detach().mean(), 0.1)
self.attribute.data = self.attribute.data + 1.0
""")
# How results are returned, from a list of values.
RETURNS = ["tuple", "list", "dict", "nested", "dataclass", "named"]
# What a module is made by, how it is called (`M` is the module), and buffers that calls change.
MODULES = [
    ("nn.BatchNorm2d(3)", "M(shaped({f}, 2, 3, 2, 2))", ("running_mean", "running_var", "num_batches_tracked")),
    ("nn.BatchNorm1d(4, momentum=None)", "M(shaped({f}, 3, 4))", ("running_mean", "running_var")),
    ("nn.InstanceNorm1d(3, affine=True, track_running_stats=True)", "M(shaped({f}, 2, 3, 4))", ("running_mean",)),
    ("nn.GRU(3, 4, batch_first=True)", "M(shaped({f}, 2, 3, 3))[0]", ()),
    ("nn.LSTM(3, 2, 2, bidirectional=True)", "M(shaped({f}, 3, 2, 3))[1][1]", ()),
    ("nn.RNN(2, 3, nonlinearity='relu')", "M(shaped({f}, 4, 1, 2))[0]", ()),
    ("nn.LSTMCell(3, 2)", "M(shaped({f}, 2, 3))[1]", ()),
    ("nn.GRUCell(2, 3)", "M(shaped({f}, 2, 2), shaped({f1}, 2, 3))", ()),
    ("nn.Embedding(5, 3, padding_idx=1)", "M({i}.clamp(0, 4))", ()),
    ("nn.Embedding(5, 3, max_norm=1.0)", "M({i}.clamp(0, 4))", ()),
    ("nn.EmbeddingBag(5, 3, mode='sum')", "M(shaped({i}, 2, 3).clamp(0, 4))", ()),
    ("nn.MultiheadAttention(4, 2, batch_first=True)", "M(*[shaped({f}, 2, 3, 4)] * 3)[0]", ()),
    ("nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)", "M(shaped({f}, 2, 3, 4))", ()),
    ("nn.Linear(3, 4)", "M(shaped({f}, 2, 3))", ()),
    ("nn.Conv1d(4, 4, 2, groups=2, padding='same')", "M(shaped({f}, 2, 4, 5))", ()),
    ("nn.Conv2d(2, 3, 3, padding=1, padding_mode='reflect')", "M(shaped({f}, 1, 2, 4, 4))", ()),
    ("nn.Conv3d(1, 2, 2)", "M(shaped({f}, 1, 1, 3, 3, 3))", ()),
    ("nn.ConvTranspose2d(2, 3, 2, stride=2)", "M(shaped({f}, 1, 2, 3, 3))", ()),
    ("nn.LayerNorm(3)", "M(shaped({f}, 2, 2, 3))", ()),
    ("nn.GroupNorm(2, 4)", "M(shaped({f}, 2, 4, 3))", ()),
    ("nn.RMSNorm(4)", "M(shaped({f}, 3, 4))", ()),
    ("nn.PReLU(3)", "M(shaped({f}, 2, 3))", ()),
    ("nn.Bilinear(2, 3, 4)", "M(shaped({f}, 2, 2), shaped({f1}, 2, 3))", ()),
    ("nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))", "M(shaped({f}, 2, 3))", ()),
    ("nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))", "M(shaped({f}, 2, 3))", ()),
    ("nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))", "M(shaped({f}, 3, 3))", ()),
    ("torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.Tanh()))", "M(shaped({f}, 2, 3))", ()),
]
