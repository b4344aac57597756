# SPDX-License-Identifier: Apache-2.0
"""Leat against eager PyTorch and torch.compile, and its GEMM against oneDNN, MKL and OpenBLAS.

Every peer runs in a process of its own, under the settings that suit it; a peer that is not measured is stopped. The
peers take turns (A B C A B C ...) in short rounds; medians count. `ratio` is the best peer's time over Leat's.

With --against DIR the Leat of another checkout, built by its `make build`, takes part as the peer `base`.

With --record each row is kept (records.py), of which performance.py makes docs/performance.md.

usage: bench.py [--rows NAME...] [--threads 1 2] [--isa avx2] [--rounds N] [--against DIR] [--json FILE] [--record]
                [--list]
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

import levels
import records
from machine import environment, level, peak
from peers import CANDIDATES, SETTINGS, thread_settings
from process import PeerError, Process
from rows import ROOT, ROWS

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL_PEERS = ("leat", "eager", "compile")
GEMM_PEERS = ("leat", "eager", "openblas")
LEAST_ROUNDS = 5


def start(peer, threads, root=ROOT, **settings):
    """The process of a peer."""
    path = os.pathsep.join(filter(None, [str(root / "python"), os.environ.get("PYTHONPATH")]))
    cache = str(ROOT / ".cache" / "inductor")
    variables = {**os.environ, "PYTHONPATH": path, "TORCHINDUCTOR_CACHE_DIR": cache}
    variables |= {**thread_settings(peer, threads), **settings}
    command = [sys.executable, os.path.join(HERE, "worker.py"), peer, str(threads)]
    return Process(peer, command, variables, ROOT / ".cache" / f"bench-{peer}-{threads}.log")


def best_settings(peer, threads):
    """Of the candidates for the environment of `peer`, the one under which its probe row is fastest here."""
    row, candidates = CANDIDATES[peer]
    capped, found = levels.CAPS.get(level(), {}), []
    candidates = [one for one in candidates if not one.keys() & capped.keys()] or [{}]
    for settings in candidates if threads > 1 or peer == "openblas" else candidates[:1]:
        process = start(peer, threads, **settings)
        try:
            found.append((min(process.ask(prepare=row)["variants"].values()), settings))
        except PeerError:
            pass
        finally:
            process.close()
    return min(found, key=lambda one: one[0])[1] if found else {}


def measure(row, processes, rounds, seconds):
    """Interleaved medians: {peer: {"variant", "seconds", "best"}} and the flops of the row."""
    prepared, result, flops = {}, {}, None
    for peer, process in processes.items():
        try:
            prepared[peer] = process.ask(prepare=row.name)
            flops = flops or prepared[peer]["flops"]
        except PeerError as error:
            result[peer] = {"error": str(error)}
    tasks = [(peer, variant) for peer, answer in prepared.items() for variant in _to_measure(peer, answer)]
    samples = {task: [] for task in tasks}
    for _ in range(rounds):
        for peer, variant in tasks:
            samples[peer, variant].append(processes[peer].ask(round=seconds, variant=variant)["samples"])
    for (peer, variant), found in samples.items():
        everything = [value for one in found for value in one]
        entry = {"variant": variant, "seconds": statistics.median(everything), "best": min(everything)}
        if peer == "leat" and variant == "C" and row.kind != "gemm":
            result["leat C"] = entry
        else:
            result[peer] = entry
    return result, flops


def _to_measure(peer, answer):
    """Leat: session.run, and the run from C; of another checkout the first of them. Others: the fastest variant."""
    variants = list(answer["variants"])
    return variants if peer == "leat" else variants[:1] if peer == "base" else [answer["chosen"]]


def bench_rows(rows, threads, args, peaks, report):
    """Measures `rows` with `threads` threads, printing each as it is done. A product that is faster raises the peak."""
    peers = {peer for row in rows for peer in (GEMM_PEERS if row.kind == "gemm" else MODEL_PEERS)}
    settings = {peer: best_settings(peer, threads) for peer in CANDIDATES if peer in peers}
    if "eager" in settings:
        settings["compile"] = settings["eager"]
    for peer, chosen in settings.items():
        print(f"  {peer}: {' '.join(f'{name}={value}' for name, value in chosen.items()) or 'no more set'}")
    processes = {peer: start(peer, threads, **settings.get(peer, {})) for peer in SETTINGS if peer in peers}
    if args.against:
        processes["base"] = start("base", threads, root=args.against)
    try:
        for row in rows:
            chosen = [*(GEMM_PEERS if row.kind == "gemm" else MODEL_PEERS), *(["base"] if args.against else [])]
            found, flops = measure(
                row,
                {peer: processes[peer] for peer in chosen},
                max(LEAST_ROUNDS, args.rounds // 2) if row.slow else args.rounds,
                0.03,
            )
            peaks[threads] = max(peaks[threads], fastest(row, found))
            record = {"row": row.name, "threads": threads, "peers": found, "flops": flops, "peak": peaks[threads]}
            report.append(record)
            print(gemm_line(row, record) if row.kind == "gemm" else model_line(row, record), flush=True)
    finally:
        for process in processes.values():
            process.close()


def fastest(row, found):
    """Flops a second of the fastest product of a row: a clock that rose meanwhile raises the peak, too."""
    if row.kind != "gemm":
        return 0
    return max((row.flops / entry["seconds"] for entry in found.values() if "seconds" in entry), default=0)


def _others(record):
    own = ("leat", "leat C", "base")
    return {peer: entry for peer, entry in record["peers"].items() if peer not in own and "seconds" in entry}


def base_cell(record):
    """Time of the other checkout over ours, medians and minima."""
    mine, base = record["peers"]["leat"], record["peers"].get("base", {})
    if "seconds" not in base:
        return ""
    return f"base/leat {base['seconds'] / mine['seconds']:.3f} {base['best'] / mine['best']:.3f}"


def model_line(row, record):
    """`row threads leat eager compile best/leat expected overhead share-of-peak`"""
    peers = record["peers"]
    cells = [f"{row.name:22} {record['threads']}"]
    for peer in MODEL_PEERS:
        cells.append(f"{peers[peer]['seconds'] * 1e6:10.1f}" if "seconds" in peers[peer] else f"{'failed':>10}")
    if "seconds" not in peers["leat"]:
        return " ".join([*cells, peers["leat"]["error"]])
    mine, others = peers["leat"]["seconds"], _others(record)
    if others:
        record["ratio"] = min(entry["seconds"] for entry in others.values()) / mine
        cells.append(
            f"{record['ratio']:7.2f} {row.expected:6.1f} {'ok' if record['ratio'] >= row.expected else 'BELOW':5}"
        )
    record["overhead"] = mine - peers["leat C"]["seconds"]
    cells.append(f"{record['overhead'] * 1e6:8.2f}")
    if record["flops"]:
        cells.append(f"{100 * record['flops'] / mine / record['peak']:6.1f} %")
    cells.append("  ".join(f"{peer}: {entry['variant']}" for peer, entry in others.items()))
    cells.append(base_cell(record))
    return " ".join(cells)


def gemm_line(row, record):
    """GFLOP/s of each, share of the peak, ratio to the best other."""
    cells = [f"{row.name:22} {record['threads']}"]
    rates = {peer: row.flops / entry["seconds"] for peer, entry in record["peers"].items() if "seconds" in entry}
    for peer in GEMM_PEERS:
        cells.append(f"{rates[peer] / 1e9:10.1f}" if peer in rates else f"{'failed':>10}")
    if "leat" not in rates:
        return " ".join([*cells, record["peers"]["leat"]["error"]])
    record["share"] = rates["leat"] / record["peak"]
    expected = row.expected_share(record["threads"])
    verdict = "ok" if record["share"] >= expected else "BELOW"
    others = [rate for peer, rate in rates.items() if peer not in ("leat", "base")]
    if others:
        record["ratio"] = rates["leat"] / max(others)
        verdict = verdict if record["ratio"] >= 1 else "BELOW"
        cells.append(f"{record['ratio']:7.2f}")
    cells.append(f"{100 * record['share']:6.1f} % {100 * expected:4.0f} % {verdict:5}")
    cells.append("  ".join(f"{peer}: {entry['variant']}" for peer, entry in _others(record).items()))
    cells.append(base_cell(record))
    return " ".join(cells)


def print_environment(facts, peaks):
    print("environment")
    for name, value in facts.items():
        print(f"  {name}: {value}")
    for peer in SETTINGS:
        shown = thread_settings(peer, max(peaks))
        print(f"  {peer} runs with: {' '.join(f'{name}={value}' for name, value in shown.items())}")
    for threads, flops in peaks.items():
        print(f"  peak of products at {level()}, {threads} thread(s): {flops / 1e9:.1f} GFLOP/s (leat machine)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="rows whose names contain one of these")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--isa", choices=levels.LEVELS, help="cap Leat and its peers at this level")
    parser.add_argument("--rounds", type=int, default=15, help="turns of every peer")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout, built, as the peer `base`")
    parser.add_argument("--json", help="file for all numbers")
    parser.add_argument("--record", action="store_true", help="keep the rows in bench/records")
    parser.add_argument("--list", action="store_true", help="show the names of the rows")
    args = parser.parse_args()
    os.environ.update(levels.variables(args.isa) if args.isa else {})  # of the processes that this one starts
    if args.list:
        print("\n".join(ROWS))
        return
    rows = [row for row in ROWS.values() if not args.rows or any(part in row.name for part in args.rows)]
    if not rows:
        parser.error(f"no row contains {' or '.join(args.rows)}; see --list")
    (ROOT / ".cache").mkdir(exist_ok=True)
    counts = [count for count in args.threads if count <= len(os.sched_getaffinity(0))]
    begin, report = time.monotonic(), []
    facts, peaks = environment(), {threads: peak(threads) for threads in counts}
    print_environment(facts, peaks)
    for threads in counts:
        models = [row for row in rows if row.kind != "gemm"]
        gemms = [row for row in rows if row.kind == "gemm"]
        if gemms:
            print(
                f"\n{'GFLOP/s':22} T {'leat':>10} {'torch':>10} {'openblas':>10} {'ratio':>7} {'of peak, expected':>22}"
            )
            bench_rows(gemms, threads, args, peaks, report)
        if models:
            print(
                f"\n{'us a step':22} T {'leat':>10} {'eager':>10} {'compile':>10} {'ratio':>7} {'expected':>12} "
                f"{'over C':>8} {'of peak':>8}"
            )
            bench_rows(models, threads, args, peaks, report)
    print(f"\n{time.monotonic() - begin:.0f} s")
    if args.record:
        for record in report:
            records.store("programs", record["row"], level(), record["threads"], record)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as stream:
            json.dump({"environment": facts, "peaks": peaks, "rows": report}, stream, indent=2)


if __name__ == "__main__":
    main()
