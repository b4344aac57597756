# SPDX-License-Identifier: Apache-2.0
"""The tracer: the text of small programs, views and writes, what it refuses."""

import textwrap

import pytest
import torch
import torch.nn.functional as F
from sambaflow import samba
from sambaflow._trace.errors import BranchError, TraceError, UnsupportedOpsError
from sambaflow._trace.optimizers import statements
from sambaflow._trace.program import trace
from sambaflow.samba.functional import addmm
from torch import nn


class Function(nn.Module):
    """A model whose forward is a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def program_of(model, *inputs, optimizer=None, **options):
    model = model if isinstance(model, nn.Module) else Function(model)
    samba.from_torch_model_(model)
    named = [samba.from_torch_tensor(t, name=f"x{i}") for i, t in enumerate(inputs)]
    return trace(model, named, statements(optimizer), **options)


def body(program):
    """The text without symbols, statements and origins."""
    lines = [line.split(" @ ")[0] for line in program.text.splitlines()[1:]]
    return [
        line for line in lines if line and " = symbol(" not in line and not line.startswith(("output", "optimizer"))
    ]


class LogReg(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin_layer = nn.Linear(6, 3)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, image, label):
        out = self.lin_layer(image)
        return self.criterion(out, label), out


def test_text_of_a_training_program():
    model = LogReg()
    samba.from_torch_model_(model)
    inputs = (samba.randn(4, 6, name="image", batch_dim=0), samba.randint(3, (4,), name="label", batch_dim=0))
    optimizer = samba.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    program = trace(model, inputs, statements(optimizer), app_dir=samba.utils.get_file_dir(__file__))
    line = LogReg.forward.__code__.co_firstlineno
    linear = f'@ "logreg.lin_layer" "test_sdk_tracer.py:{line + 1}"'
    loss = f'@ "logreg.criterion" "test_sdk_tracer.py:{line + 2}"'
    settings = "lr=0.01, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=0, maximize=0"
    assert program.text == textwrap.dedent(
        f"""\
        leat.graph 1
        %0 = symbol() {{kind="input", name="image", requires_grad=0}} : f32[4,6]
        %1 = symbol() {{kind="input", name="label", requires_grad=0}} : i64[4]
        %2 = symbol() {{kind="param", name="logreg__lin_layer__weight", requires_grad=1}} : f32[3,6]
        %3 = symbol() {{kind="param", name="logreg__lin_layer__bias", requires_grad=1}} : f32[3]
        %4 = linear(%0, %2, %3) : f32[4,3] {linear}
        %5 = cross_entropy(%4, %1) {{reduction="mean", ignore_index=-100, label_smoothing=0.0}} : f32[] {loss}
        output(%5) {{name="logreg__criterion__cross_entropy__outputs__0", seed="one"}}
        output(%4) {{name="logreg__lin_layer__linear__outputs__0", seed="zero"}}
        optimizer(%2, %3) {{kind="sgd", {settings}, hyper="lr,momentum,weight_decay"}}
        """
    )


def test_text_is_the_same_every_time():
    def once():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(72, 4)
        )
        return program_of(model, torch.zeros(2, 1, 8, 8))

    first, second = once(), once()
    assert first.text == second.text and first.blobs == second.blobs


def test_scalars_are_full_values_of_the_compute_dtype():
    program = program_of(lambda x: (x + 1) / 3, torch.ones(2, dtype=torch.int64))
    assert body(program) == [
        "%1 = full() {value=1.0} : i64[]",
        "%2 = add(%0, %1) : i64[2]",
        "%3 = to(%2) {dtype=f32} : f32[2]",
        "%4 = full() {value=3.0} : f32[]",
        "%5 = div(%3, %4) : f32[2]",
    ]


def test_large_integers_are_constants():
    program = program_of(lambda x: x + (2**53 + 1), torch.ones(2, dtype=torch.int64))
    assert body(program)[0] == "%1 = constant() {index=0} : i64[]"
    assert program.blobs == [(2**53 + 1).to_bytes(8, "little")]


def test_bf16_weight_and_f32_activation_meet_in_f32():
    weight = torch.randn(3, 2).bfloat16()
    assert body(program_of(lambda x: F.linear(x, weight), torch.randn(2, 2)))[-1] == "%2 = linear(%0, %1) : f32[2,3]"


def test_equal_constants_are_stored_once():
    data = [3.0, 1.0, 4.0]
    program = program_of(lambda x: x * torch.tensor(data) + torch.tensor(data), torch.ones(3))
    assert len(program.blobs) == 1
    assert sum("constant" in line for line in body(program)) == 1


def test_write_through_a_view_reaches_the_base_and_other_views():
    def forward(x):
        y = x.clone()
        row = y[1]
        whole = y.view(-1)
        row.add_(1)
        return whole

    assert body(program_of(forward, torch.ones(2, 3))) == [
        "%1 = clone(%0) : f32[2,3]",
        "%2 = getitem(%1) {start=[1,0], stop=[2,3], step=[1,1], shape=[3]} : f32[3]",
        "%3 = view(%1) {shape=[6]} : f32[6]",
        "%4 = full() {value=1.0} : f32[]",
        "%5 = add(%2, %4) : f32[3]",
        "%6 = reshape(%5) {shape=[1,3]} : f32[1,3]",
        "%7 = slice_scatter(%1, %6) {start=[1,0], stop=[2,3], step=[1,1]} : f32[2,3]",
        "%8 = view(%7) {shape=[6]} : f32[6]",
    ]


def test_writes_to_other_pieces_do_not_matter():
    def forward(x):
        a, b = x.clone().chunk(2, 1)
        a.sigmoid_()
        b.tanh_()
        return a * b

    lines = body(program_of(forward, torch.ones(2, 4)))
    sigmoid = next(line.split(" = ")[0] for line in lines if "sigmoid(" in line)
    tanh = next(line.split(" = ")[0] for line in lines if "tanh(" in line)
    assert f"mul({sigmoid}, {tanh})" in lines[-1]


def test_write_through_a_transposed_view():
    def forward(x):
        y = x.clone()
        y.t()[0] = 0.0
        return y

    lines = body(program_of(forward, torch.ones(2, 3)))
    assert lines[-1].startswith("%") and "permute" in lines[-1] and "{dims=[1,0]} : f32[2,3]" in lines[-1]


def test_a_plain_tensor_written_with_a_traced_value_becomes_traced():
    def forward(x):
        y = torch.zeros(2, 3)
        y[0] = x
        return y

    assert "slice_scatter" in body(program_of(forward, torch.ones(3)))[-1]


def test_inplace_activation_and_iadd():
    def forward(x):
        y = F.relu(x * 2, inplace=True)
        y += 1
        return y

    names = [line.split(" = ")[1].split("(")[0] for line in body(program_of(forward, torch.ones(3)))]
    assert names == ["full", "mul", "relu", "full", "add"]


def test_inplace_keeps_the_dtype_of_its_target():
    def forward(x):
        y = x.clone()
        y += torch.ones(2, dtype=torch.float64)
        return y

    assert body(program_of(forward, torch.ones(2)))[-1].endswith(": f32[2]")


def test_no_grad_is_marked_on_the_op():
    def forward(x):
        with torch.no_grad():
            scale = x.abs()
        return x * scale.detach()

    lines = body(program_of(forward, torch.ones(2)))
    assert lines[0] == "%1 = abs(%0) : f32[2] !detached"
    assert lines[1] == "%2 = detach(%1) : f32[2]"
    assert lines[2] == "%3 = mul(%0, %2) : f32[2]"


def test_tracing_under_no_grad_is_a_training_trace():
    with torch.no_grad():
        assert "!detached" not in program_of(lambda x: x * 2, torch.ones(2)).text


def test_batch_norm_updates_its_statistics():
    program = program_of(nn.Sequential(nn.BatchNorm1d(3)), torch.randn(4, 3))
    updates = [line for line in program.text.splitlines() if line.startswith("update(")]
    assert len(updates) == 3  # mean, variance, number of batches
    assert set(program.buffers) == {
        "sequential__0__running_mean", "sequential__0__running_var", "sequential__0__num_batches_tracked"
    }  # fmt: skip


def test_inference_is_traced_in_eval_mode_and_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout())
    program = program_of(model, torch.randn(4, 3), inference=True)
    assert "update(" not in program.text and "training=0" in program.text and "requires_grad=1" not in program.text
    assert all(module.training for module in model.modules())


def test_a_recurrent_layer_in_one_direction_is_one_row():
    lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True, bidirectional=True)
    program = program_of(lambda x: lstm_of(x, lstm), torch.randn(2, 3, 5))
    assert program.outputs[0].shape == (2, 3, 12)
    rows = [line for line in body(program) if " = lstm(" in line]
    assert len(rows) == 4 and ["reverse=1" in row for row in rows] == [False, True, False, True]
    assert not any(" = linear(" in line for line in body(program))


def lstm_of(x, lstm):
    return lstm(x)[0]


def test_lstm_weights_are_symbols():
    class Forecaster(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(5, 6)

        def forward(self, x):
            return self.lstm(x)[0]

    program = program_of(Forecaster(), torch.randn(3, 2, 5))
    assert not program.blobs and len(program.parameters) == 4


@pytest.mark.parametrize(
    "module, shape",
    [
        (nn.MultiheadAttention(8, 2, batch_first=True), (2, 3, 8)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 3, 8)),
        (nn.GRU(8, 4), (3, 2, 8)),
    ],
)
def test_composite_modules_trace_without_special_cases(module, shape):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            out = self.inner(x, x, x) if isinstance(self.inner, nn.MultiheadAttention) else self.inner(x)
            return out[0] if isinstance(out, tuple) else out

    program = program_of(Model(), torch.randn(*shape))
    assert not program.blobs


def test_unsupported_ops_are_all_listed_at_once():
    def forward(x):
        y = torch.fft.fft(x).real
        for _ in range(3):
            x = torch.linalg.eigvalsh(x.expand(2, 2)).sum() + x
        return y.sum() + x

    with pytest.raises(UnsupportedOpsError) as caught:
        program_of(forward, torch.ones(2))
    message = str(caught.value)
    assert "fft" in message and "linalg" in message and "3 times" in message
    assert "test_sdk_tracer.py:" in message and "in function" in message
    assert isinstance(caught.value, NotImplementedError)


@pytest.mark.parametrize(
    "branch",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * float(x[0]),
        lambda x: x * x[0].item(),
        lambda x: x[: int(x[0])],
        lambda x: torch.tensor(x.tolist()),
        lambda x: torch.as_tensor(x.numpy()),
    ],
)
def test_a_branch_on_a_value_names_its_line(branch):
    with pytest.raises(BranchError, match=r"test_sdk_tracer\.py:\d+: .*torch\.where"):
        program_of(branch, torch.ones(2))


def test_masked_selection_says_what_to_do():
    with pytest.raises(UnsupportedOpsError, match=r"torch\.where"):
        program_of(lambda x: x[x > 0], torch.ones(2))


def test_out_argument_of_another_shape_is_refused():
    with pytest.raises(TraceError, match="out="):
        program_of(lambda x: torch.add(x, x, out=torch.empty(3)), torch.ones(2))


def test_shape_errors_are_those_of_torch():
    with pytest.raises(RuntimeError, match="size of tensor a .* must match"):
        program_of(lambda x, y: x + y, torch.ones(2, 3), torch.ones(4))


def test_gradients_inside_forward_are_refused():
    with pytest.raises(TraceError, match="gradients are made by the compiler"):
        program_of(lambda x: x.sum().backward(), torch.ones(2))
    with pytest.raises(TraceError, match="gradients are made by the compiler"):
        program_of(lambda x: torch.autograd.grad(x.sum(), x)[0], torch.ones(2))


def test_a_traced_tensor_is_useless_after_tracing():
    kept = []
    program_of(lambda x: kept.append(x) or x * 2, torch.ones(2))
    with pytest.raises(RuntimeError, match="after tracing"):
        kept[0] + 1


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 3


def test_custom_autograd_function_brings_its_backward_in_training():
    early = Double.apply  # a reference taken before tracing leads to the tracer too
    lines = body(program_of(early, torch.ones(2, requires_grad=True)))
    stand_in = next(line.split(" ")[0] for line in lines if "cotangent" in line)
    gradient = next(line.split(" ")[0] for line in lines if f"mul({stand_in}," in line)
    assert any(f"custom_gradient(%2, {stand_in}, %0, {gradient})" in line for line in lines), lines
    assert body(program_of(early, torch.ones(2), inference=True))[-1] == "%2 = mul(%0, %1) : f32[2] !detached"
    assert torch.equal(Double.apply(torch.ones(2)), torch.full((2,), 2.0))


def test_custom_autograd_function_that_asks_for_values_or_writes_is_refused():
    class Values(Double):
        @staticmethod
        def backward(ctx, grad):
            return grad * float(ctx.saved_tensors[0].sum())

    class Writes(Double):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

    with pytest.raises(TraceError, match="float"):
        program_of(Values.apply, torch.ones(2, requires_grad=True))
    with pytest.raises(TraceError, match="Writes"):
        program_of(Writes.apply, torch.ones(2))


def test_autocast_inserts_casts():
    weight = torch.randn(3, 2)

    def forward(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.linear(x, weight)

    lines = body(program_of(forward, torch.ones(4, 2)))
    assert lines[0] == "%1 = to(%0) {dtype=bf16} : bf16[4,2]" and lines[-1].endswith(": bf16[4,3]")


def test_names_of_calls_follow_the_samba_scheme():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 4))

        def forward(self, x):
            a = torch.relu(x)
            b = torch.relu(self.body(a))
            return a, b, self.body(b), torch.split(x, 2, dim=1)

    names = [port.name for port in program_of(Net(), torch.randn(2, 4), inference=True).outputs]
    assert names == [
        "net__relu__outputs__0",
        "net__relu_1__outputs__0",
        "net__body__0__linear_1__outputs__0",
        "net__split__outputs__0",
        "net__split__outputs__1",
    ]


@pytest.mark.parametrize(
    "forward, seeds",
    [
        (lambda x: (F.mse_loss(x, x), x), ["one", "zero"]),
        (lambda x: (x, x.sum()), ["zero", "one"]),
        (lambda x: x * 2, ["symbol"]),
        (lambda x: (x.argmax(), x * 2, x * 3), ["zero", "symbol", "zero"]),
        (lambda x: F.mse_loss(x, x, reduction="none"), ["symbol"]),
    ],
)
def test_seeds(forward, seeds):
    assert [port.seed for port in program_of(forward, torch.ones(3)).outputs] == seeds


def test_loss_indices_and_init_output_grads():
    forward = lambda x: (x.sum(), x.mean())  # noqa: E731
    assert [p.seed for p in program_of(forward, torch.ones(3), loss_indices=[1]).outputs] == ["zero", "one"]
    assert [p.seed for p in program_of(forward, torch.ones(3), loss_indices=[(0,)]).outputs] == ["one", "zero"]
    assert [p.seed for p in program_of(forward, torch.ones(3), init_output_grads=False).outputs] == ["symbol", "symbol"]
    with pytest.raises(TraceError, match="loss_indices"):
        program_of(forward, torch.ones(3), loss_indices=[2])


def test_outputs_of_every_container():
    program = program_of(lambda x: {"a": x * 1, "b": [x * 2, None, (x * 3, 7)]}, torch.ones(3))
    assert len(program.outputs) == 3


def test_inputs_as_a_dict_with_values_and_nested_tensors():
    class Model(nn.Module):
        def forward(self, ids, past, flag=False):
            return ids + past[0][1] if flag else ids

    model = Model()
    past = ((samba.ones(2, name="k"), samba.ones(2, name="v")),)
    program = trace(model, {"ids": samba.ones(2, name="ids"), "past": past, "flag": True})
    assert [port.name for port in program.inputs] == ["ids", "k", "v"]


def test_inputs_may_not_share_a_name():
    with pytest.raises(TraceError, match="'x'"):
        trace(Function(torch.add), (samba.ones(2, name="x"), samba.zeros(2, name="x")))


def test_model_must_be_converted():
    with pytest.raises(TraceError, match="from_torch_model_"):
        trace(nn.Linear(2, 2), (samba.ones(2, name="x"),))


def test_tied_weights_are_one_symbol():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(self.embed(ids))

    program = program_of(Tied(), torch.zeros(3, dtype=torch.int64))
    assert list(program.parameters) == ["tied__embed__weight"]


def test_parameters_of_two_optimizers_may_not_overlap():
    model = nn.Linear(2, 2)
    with pytest.raises(TraceError, match="two optimizers"):
        program_of(
            model, torch.ones(2), optimizer=[samba.optim.AdamW(model.parameters()), samba.optim.SGD(model.parameters())]
        )


def test_hyperparameters_that_differ_between_groups_can_be_set_by_a_run():
    model = nn.Linear(2, 2)
    groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "weight_decay": 0.0}]
    text = program_of(model, torch.ones(2), optimizer=samba.optim.AdamW(groups, lr=0.5)).text
    hyper = [line.split('hyper="')[1].split('"')[0].split(",") for line in text.splitlines() if "hyper=" in line]
    assert len(hyper) == 2 and all("weight_decay" in names for names in hyper)


def test_random_draws_have_streams_of_their_own():
    program = program_of(lambda x: F.dropout(x + torch.rand(2) + torch.randn(2), 0.5), torch.ones(2))
    streams = [line for line in body(program) if "stream=" in line]
    assert [line.split("stream=")[1][0] for line in streams] == ["0", "1", "2"]


def test_addmm_transposed_is_one_row():
    program = program_of(
        lambda x: addmm(torch.tensor([1.0, 5, 2, 4, 9]), x, torch.eye(5, 4), beta=0.5, is_transposed=True),
        torch.ones(2, 3, 4),
    )
    assert body(program)[-1] == "%3 = addmm(%1, %0, %2) {alpha=1.0, beta=0.5, transposed=1} : f32[2,3,5]"


def test_constants_without_data_are_refused():
    with pytest.raises(TraceError, match="no data"):
        program_of(lambda x: x + torch.empty(2, device="meta"), torch.ones(2))


def test_all_unsupported_ops_are_listed_whatever_follows_them():
    class Net(nn.Module):
        def forward(self, x):
            places = torch.nonzero(x)
            kept = torch.masked_select(x, x > 0)
            values, inverse = torch.unique(x, return_inverse=True)
            for _ in range(2):
                x = x + torch.special.zeta(x, x)
            x = x + kept.sum() + values.sum() + inverse.sum() + places.sum()
            return x.sum() + (1.0 if x.sum() > 0 else 0.0)

    with pytest.raises(NotImplementedError) as caught:
        trace(Net(), (samba.randn(3, 4, name="x"),))
    text = str(caught.value)
    for part in (
        "aten::nonzero in net at",
        "aten::masked_select in net at",
        "aten::_unique2 in net at",
        "prims::zeta in net at",
        ", 2 times",
        "maybe for want of their results",
        "needs the value of a traced",
    ):
        assert part in text
    assert text.count("test_sdk_tracer.py:") >= 5


def test_an_error_of_the_program_alone_stays_itself():
    class Net(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        trace(Net(), (samba.randn(3, name="x"),))
