# SPDX-License-Identifier: Apache-2.0
"""PyTorch's CPU times, one thread, of the ops that conv_step.c measures."""

import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)


def best(run, count=32):
    """The shortest CPU time in microseconds: other work on the machine does not count."""
    for _ in range(5):
        run()
    times = []
    for _ in range(count):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times) * 1e6


def convolution(name, n, ci, co, size, k, stride, pad):
    x, w = torch.randn(n, ci, size, size), torch.randn(co, ci, k, k)
    dy = torch.randn_like(F.conv2d(x, w, None, stride, pad))

    def gradient(mask):
        return torch.ops.aten.convolution_backward(
            dy, x, w, [0], [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask
        )

    print(f"  {name} forward          {best(lambda: F.conv2d(x, w, None, stride, pad)):8.0f} us")
    print(f"  {name} x gradient       {best(lambda: gradient([True, False, False])):8.0f} us")
    print(f"  {name} weight gradient  {best(lambda: gradient([False, True, False])):8.0f} us")


def pooling(name, n, c, size, k, stride, pad):
    x = torch.randn(n, c, size, size, requires_grad=True)
    y = F.max_pool2d(x, k, stride, pad)
    dy = torch.randn_like(y)
    print(f"  {name}           {best(lambda: F.max_pool2d(x.detach(), k, stride, pad)):8.0f} us")
    print(f"  {name} gradient  {best(lambda: torch.autograd.grad(y, x, dy, retain_graph=True)):8.0f} us")


for batch in (32, 256):
    print("batch", batch)
    convolution("1->6 5x5", batch, 1, 6, 28, 5, 1, 2)
    pooling("pool 2x2 of 6x28x28", batch, 6, 28, 2, 2, 0)
    convolution("6->16 5x5", batch, 6, 16, 14, 5, 1, 0)
    pooling("pool 2x2 of 16x10x10", batch, 16, 10, 2, 2, 0)
print("larger, batch 4")
convolution("64->64 3x3, 56x56", 4, 64, 64, 56, 3, 1, 1)
convolution("256->256 3x3, 14x14", 4, 256, 256, 14, 3, 1, 1)
convolution("64->128 3x3 stride 2", 4, 64, 128, 56, 3, 2, 1)
convolution("256->64 1x1, 56x56", 4, 256, 64, 56, 1, 1, 0)
pooling("pool 3x3 stride 2 of 64x112x112", 4, 64, 112, 3, 2, 1)
