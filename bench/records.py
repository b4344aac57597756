# SPDX-License-Identifier: Apache-2.0
"""What was measured, kept: one file of JSON lines a machine, bench/records/<machine>.jsonl, to which each run appends.

A record has `table` (models, programs, kernels, ops), `row`, `level` and `threads`, which say what it is of; `commit`,
with a + where what was measured had changes that no commit has; `date`; `machine`, the facts of `leat machine` in that
run; `busy`, the load of the machine when the row began; and the numbers of its table. Of records of one row, level and
thread count the last one counts.
"""

import json
import os
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "bench" / "records"
MEASURED = ("src", "include", "python", "meson.build")  # a commit with changes in these is another program
FACTS = ("cores", "l1_bytes", "l2_bytes", "l3_bytes", "read_bytes", "triad_bytes", "read_bytes_all", "triad_bytes_all")
KEY = ("table", "row", "level", "threads")


def _git(*words):
    try:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit():
    """The commit that is measured."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *MEASURED)
    return (_git("rev-parse", "--short=7", "HEAD") or "unknown") + ("+" if changed else "")


def machine_facts():
    """Name and rates of this machine."""
    import machine

    record = machine.record()
    rates = [key for key in record if re.match(r"f(32|64)_", key)]
    return {"name": record["name"], **{key: _number(record[key]) for key in (*rates, *FACTS)}}


def _number(text):
    value = float(text)
    return int(value) if value.is_integer() else value


def file_of(name, folder=FOLDER):
    """The file of a machine, by its name."""
    return folder / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".jsonl")


def store(table, row, level, threads, numbers, folder=FOLDER):
    """Appends a record of this machine, commit and moment; returns it."""
    facts = machine_facts()
    record = {"table": table, "row": row, "level": level, "threads": threads, "commit": commit()}
    record |= {"date": time.strftime("%Y-%m-%d", time.gmtime()), "busy": round(os.getloadavg()[0], 2)}
    record |= {"machine": facts, **numbers}
    folder.mkdir(parents=True, exist_ok=True)
    with open(file_of(facts["name"], folder), "a", encoding="utf-8") as stream:
        stream.write(json.dumps(rounded(record)) + "\n")
    return record


def rounded(value):
    """With four digits, as many as a measurement has."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, (list, tuple)) else value


def read(path):
    """The records of a file. ValueError with the line of what is none."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            missing = [key for key in (*KEY, "commit", "machine") if key not in record]
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{path}:{number}: not a record: {error}; remove the line") from None
        if missing:
            raise ValueError(f"{path}:{number}: a record without {', '.join(missing)}; remove the line")
        found.append(record)
    return found


def latest(records):
    """{(table, row, level, threads): the last record of it}, in the order of the records."""
    found = {}
    for record in records:
        key = tuple(record[name] for name in KEY)
        found.pop(key, None)
        found[key] = record
    return found


def machines(folder=FOLDER):
    """{machine: its latest records}, by name."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        records = read(path)
        if records:
            found[records[-1]["machine"]["name"]] = latest(records)
    return found
