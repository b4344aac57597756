# SPDX-License-Identifier: Apache-2.0
"""What sections and stages of a PEF take at least here: the larger of operations at the peak and bytes at bandwidth.

Bytes lie in the nearest memory that holds what they are part of. Those of a section of a run: all symbols and values of
the program; in the trips of a loop behind the first, what a trip touches. Those of a stage, whose section is timed
alone, again and again: all arguments of the section; of tiles, the tile.
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


def _calls_of(pef):
    """(body, times) of every section."""
    done = subprocess.run([machine.command(), "info", pef, "--sections"], capture_output=True, text=True, check=True)
    return [(int(r["body"]), float(r["times"])) for r in csv.DictReader(io.StringIO(done.stdout, newline=""))]


def section_least(section, threads, level, held_bytes):
    """(seconds, what bounds them) of a record of samba.profiles whose `flops` are those of its stages, and which has
    `times`, in a program that holds so many bytes."""
    compute = section["flops"] / machine.peak(threads, section["dtype"], level)
    trip = section["moved_bytes"] / section["times"]
    first = _bandwidth(held_bytes, threads, level)
    again = max(first, _bandwidth(trip, threads, level))
    memory = trip / first + trip * (section["times"] - 1) / again
    return max(compute, memory), "memory" if memory > compute else "compute"


def _bandwidth(held_bytes, threads, level):
    """Bytes a second that cores read of what lies in so many bytes."""
    cache = cache_of(held_bytes)
    return machine.bandwidth(threads) if cache == "memory" else threads * machine.rates(cache, level).read


def with_stage_flops(sections, pef):
    """`sections` with their `times`, how often a run makes the call, and the operations of their stages: those of the
    compiler's estimate count holes of spread operands."""
    stages, calls = stages_of(pef), _calls_of(pef)
    found = []
    for section in sections:
        body, times = calls[section["index"]]
        flops = times * sum(stage.flops for stage in stages.get(body, ()))
        found.append({**section, "times": times, "flops": flops})
    return found


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
