# SPDX-License-Identifier: Apache-2.0
"""What sections and stages of a PEF take at least here: the larger of operations at the peak and bytes at bandwidth.

A section moves its bytes through memory. A stage is held against what is nearest: the bytes of tiles pass through the
cache that a tile fits, those of arguments through the one that all arguments of its section fit, since sections are
timed alone, again and again.
"""

import csv
import io
import subprocess
from dataclasses import dataclass, field

import machine

STAGE_BYTES = ("argument_bytes_in", "argument_bytes_out", "scratch_bytes_in", "scratch_bytes_out")


@dataclass
class Stage:
    """A stage of a body, in one call, all rows."""

    kind: str
    origin: str
    shapes: str
    flops: float
    bytes: dict = field(default_factory=dict)  # by STAGE_BYTES
    tile_bytes: int = 0

    @property
    def dtype(self):
        return "f64" if "f64[" in self.shapes else "f32"


def stages_of(pef):
    """{body: its stages}, as `leat info --stages` tells them."""
    done = subprocess.run([machine.command(), "info", pef, "--stages"], capture_output=True, text=True, check=True)
    bodies = {}
    for row in csv.DictReader(io.StringIO(done.stdout, newline="")):
        moved = {name: float(row[name]) for name in STAGE_BYTES}
        stage = Stage(row["kind"], row["origin"], row["shapes"], float(row["flops"]), moved, int(row["tile_bytes"]))
        bodies.setdefault(int(row["body"]), []).append(stage)
    return bodies


def bodies_of(pef):
    """The body of every section."""
    done = subprocess.run([machine.command(), "info", pef, "--sections"], capture_output=True, text=True, check=True)
    return [int(row["body"]) for row in csv.DictReader(io.StringIO(done.stdout, newline=""))]


def section_least(section, threads, level):
    """(seconds, what bounds them) of a record of samba.profiles whose `flops` are those of its stages."""
    compute = section["flops"] / machine.peak(threads, section["dtype"], level)
    memory = section["moved_bytes"] / machine.bandwidth(threads)
    return max(compute, memory), "memory" if memory > compute else "compute"


def with_stage_flops(sections, pef, times):
    """`sections` with the operations of their stages: those of the compiler's estimate count holes of spread operands.
    `times`: how often a run makes the call of a section."""
    stages, bodies = stages_of(pef), bodies_of(pef)
    return [
        {**section, "flops": times[section["index"]] * sum(s.flops for s in stages.get(bodies[section["index"]], ()))}
        for section in sections
    ]


def cache_of(held_bytes):
    """The nearest memory that holds so much: l1, l2, l3 or memory."""
    return next((name for name in ("l1", "l2", "l3") if held_bytes <= machine.cache_bytes(name)), "memory")


def stage_least(stage, section_bytes, level):
    """(seconds, what bounds them) of a stage on one thread, whose section touches so many bytes of arguments."""
    near, far = machine.rates(cache_of(stage.tile_bytes), level), machine.rates(cache_of(section_bytes), level)
    moved = stage.bytes
    memory = moved["argument_bytes_in"] / far.read + moved["argument_bytes_out"] / far.write
    memory += moved["scratch_bytes_in"] / near.read + moved["scratch_bytes_out"] / near.write
    compute = stage.flops / machine.peak(1, stage.dtype, level)
    return max(compute, memory), "memory" if memory > compute else "compute"
