# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/chip/shapes.csv: cycles of 200 random shapes on PCUs of a chip, for tests/c/chip_cost_test.c.

They are counted here the long way: blocks of outputs are dealt to the PCUs one after the other, as DFModel
(arXiv 2412.16432) places them, and the PCU with most of them sets the time. Nothing of the product is used.
"""

import random
from pathlib import Path

OUT = Path(__file__).resolve().parent / "chip" / "shapes.csv"


def most_blocks(extent, block, pcus):
    """Blocks of the busiest of `pcus` PCUs in a row, each of which takes neighbours along `extent`."""
    count = 0
    covered = 0
    while covered < extent:  # a round: every PCU takes one more block
        covered += block * pcus
        count += 1
    return count


def product(draw):
    lanes, stages = draw.choice([16, 32]), 6
    m, n, k = (draw.choice([draw.randint(1, 64), draw.randint(1, 13000)]) for _ in range(3))
    along_m, along_n = draw.randint(1, 100), draw.randint(1, 12)
    cycles = most_blocks(m, lanes, along_m) * most_blocks(n, stages, along_n) * k
    return f"product,{lanes},{stages},{m},{k},{n},{along_m},{along_n},{cycles}"


def elementwise(draw):
    lanes, stages = draw.choice([16, 32]), 6
    m, n = draw.randint(1, 50000), draw.randint(1, 4096)
    operations, pcus = draw.randint(1, 40), draw.randint(1, 640)
    passes = 0
    while operations > passes * stages:
        passes += 1
    return f"simd,{lanes},{stages},{m},{operations},{n},{pcus},1,{most_blocks(m, lanes, pcus) * n * passes}"


def main():
    draw = random.Random(15)
    rows = [product(draw) for _ in range(120)] + [elementwise(draw) for _ in range(80)]
    head = "kind,lanes,stages,m,k_or_operations,n,along_m,along_n,cycles"
    OUT.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
