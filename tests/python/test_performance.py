# SPDX-License-Identifier: Apache-2.0
"""What the bench keeps, and the page that is made of it. No test asserts a time."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "bench"))

import kernel_times  # noqa: E402
import levels  # noqa: E402
import machine  # noqa: E402
import performance  # noqa: E402
import records  # noqa: E402
import roofline  # noqa: E402

FACTS = {
    "name": "desk, 2 cores", "cores": 2, "f32_portable": 1e9, "f32_avx2": 1e11, "f32_avx512": 2e11, "read_bytes": 3e10,
    "triad_bytes": 2e10, "read_bytes_all": 4e10, "triad_bytes_all": 3e10,
}  # fmt: skip


def model(row="gpt2-training", level="avx512", threads=1, leat=1.0, flops=1e10, kind="training", commit="abc", **peers):
    """A record of models: times of peers in seconds; a time below 0 does not count."""
    entries = {"leat": {"seconds": leat, "best": leat, "compile": 0.25, "memory": {"steady": 100.0}}}
    for peer, seconds in peers.items():
        entries[peer] = {"seconds": abs(seconds), "best": abs(seconds), "counts": seconds > 0}
    lost = [{"index": 7, "type": "fwd", "name": "head", "seconds": leat, "least": leat / 2, "bound": "memory"}]
    return {
        "table": "models", "row": row, "level": level, "threads": threads, "commit": commit, "machine": FACTS,
        "kind": kind, "flops": flops, "least": leat / 2, "peers": entries, "lost": lost,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "machine_facts", lambda: FACTS)
    return tmp_path


def lines_of(text, *words):
    return [line for line in text.splitlines() if all(word in line for word in words)]


def page_of(*found):
    return performance.page({"desk": records.latest(found)})


def test_the_last_record_of_a_row_counts(folder):
    for seconds in (2.0, 1.0):
        numbers = model(leat=seconds, eager=3.0)
        store = {key: value for key, value in numbers.items() if key not in (*records.KEY, "commit", "machine")}
        records.store("models", "gpt2-training", "avx512", 1, store, folder)
    assert [path.name for path in folder.iterdir()] == ["desk-2-cores.jsonl"]
    assert len(records.read(records.file_of(FACTS["name"], folder))) == 2
    found = records.machines(folder)["desk, 2 cores"]
    assert [record["peers"]["leat"]["seconds"] for record in found.values()] == [1.0]
    assert "| 3.00 |" in lines_of(performance.page(records.machines(folder)), "| gpt2-training | 1000 |")[0]


def test_records_say_what_they_are_of(folder):
    stored = records.store("models", "r", "avx2", 2, {"x": 1.23456789}, folder)
    assert stored["commit"] == records.commit() and stored["machine"] == FACTS
    assert json.loads(next(folder.iterdir()).read_text())["x"] == 1.235


def test_what_is_no_record_is_refused_by_its_line(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(model()) + "\n{\n")
    with pytest.raises(ValueError, match=r"m\.jsonl:2: not a record"):
        records.read(path)
    path.write_text('{"table": "models"}\n')
    with pytest.raises(ValueError, match=r"m\.jsonl:1: a record without row, level"):
        records.read(path)


def test_machines_stand_side_by_side():
    found = records.latest([model(eager=2.0)])
    page = performance.page({"desk": found, "shelf": found})
    assert page.index("## desk") < page.index("## shelf") and len(lines_of(page, "| gpt2-training |")) >= 4
    assert "No records yet." in performance.page({})


def test_means_are_of_large_rows_and_peers_that_count():
    page = page_of(
        model("gpt2-training", eager=4.0, onnx=-0.5, commit="one"),
        model("bert-training", eager=9.0, commit="two"),
        model("lenet-training", eager=100.0, flops=1e6),  # too small for the mean
        model("vit-inference", eager=0.5, kind="inference"),
        model("lstm-inference", kind="inference"),  # beside nobody
    )
    line = lines_of(page, "| avx512 | 1 |", "vit-inference 0.50")[0]
    assert "| 6.00 of 2 | 0.50 of 1 |" in line and "abc one two" in line
    assert "500*" in lines_of(page, "| gpt2-training |")[0]


def test_levels_and_threads_have_tables_of_their_own():
    page = page_of(model(eager=2.0), model(threads=2, leat=0.6), model(level="avx2", eager=2.0))
    for title in ("avx512, 1 thread", "avx512, 2 threads", "avx2, 1 thread"):
        assert f"### Models, {title}\n" in page
    assert "| gpt2-training | avx512 | 1.67 |" in page


def test_rows_far_from_their_bound_name_the_section():
    assert "| gpt2-training | avx512 | 1 | 1000 | 500 | memory | 7 fwd head |" in page_of(model())


def test_kernels_below_half_of_their_roofline_are_named():
    record = {
        "table": "kernels", "row": "gpt2-training", "level": "avx2", "threads": 1, "commit": "abc", "machine": FACTS,
        "seconds": 1.0, "least": 0.7, "count": 2, "kinds": {"contract": [0.8, 0.6], "map": [0.2, 0.1]},
        "below": [["map", "f32[8] > f32[8]", 3, 0.2, 0.06, "memory"]],
    }  # fmt: skip
    page = page_of(record)
    assert "| contract | 800 | 0.75 | gpt2-training 0.75 |" in page
    assert "| gpt2-training | map | `f32[8] > f32[8]` | 20.0 % | 0.30 | memory |" in page


@pytest.fixture
def desk(monkeypatch):
    """A machine of 0.1 Gflop/s and 100 bytes a second, whose caches of 512, 64 and 8 bytes give twice, four and eight
    times that; writing takes twice as long as reading."""
    sizes, gains = {"l1": 8, "l2": 64, "l3": 512}, {"l1": 8, "l2": 4, "l3": 2, "memory": 1}
    monkeypatch.setattr(machine, "cache_bytes", sizes.get)
    monkeypatch.setattr(machine, "bandwidth", lambda threads: 100.0 * threads)
    monkeypatch.setattr(machine, "rates", lambda name, level: machine.Rates(100.0 * gains[name], 50.0 * gains[name]))
    monkeypatch.setattr(machine, "peak", lambda threads, dtype, level: 1e8 * threads)


def section(times=1, flops=0.0, moved=1000.0):
    return {"times": times, "flops": flops, "moved_bytes": moved, "dtype": "f32"}


def test_bytes_of_a_section_count_where_they_lie(desk):
    assert roofline.section_least(section(), 1, "avx2", 4096) == (10.0, "memory")
    assert roofline.section_least(section(), 2, "avx2", 4096) == (5.0, "memory")
    assert roofline.section_least(section(), 1, "avx2", 512) == (5.0, "memory")  # all of the program is in a cache
    assert roofline.section_least(section(flops=2e9), 1, "avx2", 4096) == (20.0, "compute")
    # Ten trips of 100 bytes: the first from memory, the others from the cache that holds a trip.
    assert roofline.section_least(section(times=10), 1, "avx2", 4096) == (1.0 + 9 * 0.5, "memory")


def test_bytes_of_a_stage_count_where_they_lie(desk):
    moved = dict(zip(roofline.STAGE_BYTES, (100.0, 50.0, 80.0, 40.0), strict=True))
    stage = roofline.Stage("map", "a relu", "f32[25] > f32[25]", 0.0, moved, tile_bytes=64)
    assert roofline.stage_least(stage, 4096, "avx2") == (pytest.approx(1.0 + 1.0 + 0.2 + 0.2), "memory")
    assert roofline.stage_least(stage, 8, "avx2") == (pytest.approx(0.125 + 0.125 + 0.2 + 0.2), "memory")
    stage.flops = 3e8
    assert roofline.stage_least(stage, 4096, "avx2") == (3.0, "compute")


def test_what_caches_give_is_measured(monkeypatch):
    monkeypatch.setattr(machine, "record", lambda: {"l1_bytes": "32768", "level": "avx2"})
    machine.rates.cache_clear()
    found = machine.rates("l1", "portable")
    machine.rates.cache_clear()
    assert found.read > 1e8 and found.write > 1e8


def test_a_kernel_is_all_stages_of_its_shape():
    stage = roofline.Stage("map", "a relu", "f32[8] > f32[8]", 8.0)
    found = {
        "sections": [[0, 3, "fwd"], [1, 1, "fwd"], [1, 1, "prepare"]],
        "bodies": {"0": [[2.0], 64], "1": [[1.0, 0.001], 32]},
    }
    other = roofline.Stage("reduce", "a sum", "f32[8] > f32[1]", 8.0)
    seen = kernel_times.kernels_of(found, {0: [stage], 1: [stage, other]}, lambda stage, held: (held / 64, "memory"))
    assert [(k.kind, k.seconds, k.least, k.calls) for k in seen] == [("map", 7.0, 3.5, 4), ("reduce", 0.001, 0.5, 1)]
    assert kernel_times.below(seen) == [] and kernel_times.kinds_of(seen) == {"map": [7.0, 3.5], "reduce": [0.001, 0.5]}
    slow = kernel_times.kernels_of(found, {0: [stage], 1: [stage, other]}, lambda stage, held: (0.0, "memory"))
    assert [kernel.kind for kernel in kernel_times.below(slow)] == ["map"]  # the other takes too little to be named


def test_a_peer_without_a_cap_does_not_count_below_the_best():
    chosen = ["brgemm_avx2_f32", "jit_avx512_f32", "gemm_mlas_f32"]
    assert (
        levels.uncapped("onnx", [], "avx512", "avx512") == levels.uncapped("openvino", chosen, "avx512", "avx512") == []
    )
    assert levels.uncapped("onnx", [], "avx2", "avx512") == ["onnx"]
    assert levels.uncapped("openvino", chosen, "avx2", "avx512") == chosen[1:]
    assert (
        levels.uncapped("eager", [], "avx2", "avx512") == []
        and levels.variables("avx2")["ATEN_CPU_CAPABILITY"] == "avx2"
    )
    assert levels.is_below("avx2", "avx512") and not levels.is_below("avx512", "avx2")


def test_the_page_is_that_of_the_records():
    assert performance.PAGE.read_text(encoding="utf-8") == performance.page(records.machines())
