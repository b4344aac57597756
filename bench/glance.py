# SPDX-License-Identifier: Apache-2.0
"""The fast half of the rows of `make bench-models` beside their stored records: Leat alone, one thread, CPU time.

Goes through the rows from the fastest on, as stored, in one process, until the seconds are over. Prints and judges
nothing: the machine may be another, and others may be at work on it.

usage: glance.py [--seconds N]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time

import levels
import records
from model_rows import ROWS

RUNS, WARM = 7, 2
SECONDS = 40


def stored(name=None):
    """(machine, the fast half of its records of models on one thread at its best level, the fastest first): of the
    machine that is called so, else of the one with most records."""
    found = records.machines()
    name = name if name in found else max(found, key=lambda one: len(found[one]), default=None)
    rows = [r for key, r in found.get(name, {}).items() if key[0] == "models" and key[3] == 1 and key[1] in ROWS]
    best = min((record["level"] for record in rows), key=levels.LEVELS.index, default=None)
    rows = [record for record in rows if record["level"] == best]
    rows.sort(key=lambda record: record["peers"]["leat"]["seconds"])
    return name, rows[: -(-len(rows) // 2)]


def seconds_of(row):
    """Median and least seconds of one piece of work."""
    import model_peers
    import torch

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model_peers.compile_pef(row, folder)
        run, taken = model_peers.leat(row, folder)["session.run"].run, []
        for _ in range(WARM + RUNS):
            start = time.process_time()
            run()
            taken.append(time.process_time() - start)
    return statistics.median(taken[WARM:]), min(taken[WARM:])


def line(record, median, least):
    before = record["peers"]["leat"]
    times = "".join(f" {1e3 * seconds:9.2f}" for seconds in (median, least, before["seconds"], before["best"]))
    ratios = f"{median / before['seconds']:7.2f} {least / before['best']:7.2f}"
    return f"{record['row']:22}{times} {ratios}  {record['commit']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"begin no row after these ({SECONDS})")
    args = parser.parse_args()
    levels.restart_at(None, __file__)
    import machine
    import torch

    torch.set_num_threads(1)
    end = time.monotonic() + args.seconds
    here = machine.record()["name"]
    name, rows = stored(here)
    if not rows:
        print("nothing is stored in bench/records that could stand beside")
        return
    print(f"now: {here}, {records.commit()}, {os.environ.get('LEAT_ISA') or machine.best()}")
    print(f"stored: {name}, {rows[0]['level']}; nothing is judged")
    heads = ("ms", "now", "least", "stored", "least", "now/", "stored")
    print("{:22} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}".format(*heads))
    for record in rows:
        if time.monotonic() > end:
            break
        try:
            print(line(record, *seconds_of(ROWS[record["row"]])), flush=True)
        except Exception as error:
            print(f"{record['row']:22} {type(error).__name__}: {error}".splitlines()[0][:160], flush=True)


if __name__ == "__main__":
    sys.exit(main())
