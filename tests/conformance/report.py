# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md, of the results that are kept: totals, what is not equal, what is out of scope, the table."""

import collections
import json
import re

from judge import KINDS

DTYPES = ("float32", "bfloat16", "int64", "bool")
PARTS = ("forward", "gradient")
HEAD = """# Conformance

PyTorch {torch}'s own databases of operators and modules (`op_db`, `module_db`) through Leat, sample by sample, beside
eager mode: written by `make conformance`, of commit {commit}.

A pair is an op in a dtype, or a module in a dtype and mode. It is *equal* if every sample is: shapes, dtypes and
values, forward; gradients of all inputs and parameters for a fixed cotangent. Values are equal within the tolerance
that the database has for the entry, else PyTorch's own (rtol 1.3e-6 and atol 1e-5 in float32, 1.6e-2 and 1e-5 in
bfloat16, integers exactly), of eager mode's result, or of that in double precision and as far from it as eager mode is
itself. Of results that are drawn, or left unwritten, shapes and dtypes are compared. Else a pair is what the worst of
its samples is: *refused* with a message, *wrong*, *crash* (a raw Python error, or a process that died) or *hang*.
Samples that eager mode refuses, and those that give no tensor, count for nothing. Totals are of the entries and samples
that were asked, as the first table counts them; the last tables are empty where nothing was.
"""


def text(folder):
    """The page of the results in `folder`."""
    import torch

    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    found = [one for one in found if one["database"] == "module" or scope_reason(one["name"]) is None]
    commits = collections.Counter(one["commit"] for one in found)
    shown = (
        ", ".join(f"{commit} ({n})" for commit, n in commits.most_common()) if len(commits) > 1 else next(iter(commits))
    )
    parts = [
        HEAD.format(torch=torch.__version__.split("+")[0], commit=shown),
        "## What was asked\n\n" + "\n".join(_asked(found)),
        "## Totals\n\n" + "\n".join(_totals(found)),
        "## Why pairs are not equal\n\n" + "\n".join(_reasons(found)),
        "## Out of scope\n\n" + "\n".join(_out()),
    ]
    parts += [
        f"## {title}\n\n" + "\n".join(_table(found, base)) for base, title in (("op", "Ops"), ("module", "Modules"))
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def scope_reason(name):
    import scope

    return scope.reason(name)


def kind_of(of_part):
    """The worst of the samples, or None where eager mode has none."""
    return max((kind for kind in of_part["counts"] if kind in KINDS), key=KINDS.index, default=None)


def pairs(found):
    """(result, part, kind, what is known of the part), where something was compared."""
    for one in found:
        for part, of_part in one["parts"].items():
            kind = kind_of(of_part)
            if kind is not None:
                yield one, part, kind, of_part


def _asked(found):
    """How much of the databases the results are of: a run may be of some entries, or of the first samples of each."""
    import database

    entries = database.entries()
    there = collections.Counter(
        (e.database, e.dtype) for e in entries if e.database == "module" or not scope_reason(e.name)
    )
    yield "| database | dtype | entries in scope | asked | with all samples | others: first samples of each |"
    yield "|---|---|---|---|---|---|"
    for (base, dtype), count in sorted(there.items(), key=lambda item: (item[0][0] != "op", DTYPES.index(item[0][1]))):
        asked = [one for one in found if (one["database"], one["dtype"]) == (base, dtype)]
        part = [one["samples"] for one in asked if not is_whole(one)]
        first = f"{min(part)}" + (f" to {max(part)}" if max(part) > min(part) else "") if part else "-"
        yield f"| {base} | {dtype} | {count} | {len(asked)} | {len(asked) - len(part)} | {first} |"


def is_whole(one):
    """Whether all samples of an entry were judged, as it is certain where there were fewer than were asked for."""
    counts = [of_part["counts"] for of_part in one["parts"].values()]
    return all("cut" not in count and sum(count.values()) < one["samples"] for count in counts)


def _totals(found):
    counts = collections.Counter()
    for one, part, kind, _ in pairs(found):
        for dtype in (one["dtype"], "all"):
            counts[one["database"], part, dtype, kind] += 1
    yield "| database | part | dtype | pairs | equal | " + " | ".join(KINDS[1:]) + " | % equal |"
    yield "|---|---|---|---|---|" + "---|" * len(KINDS)
    for base in ("op", "module"):
        for part in PARTS:
            for dtype in (*DTYPES, "all"):
                row = [counts[base, part, dtype, kind] for kind in KINDS]
                if sum(row):
                    shown = " | ".join(map(str, row))
                    yield f"| {base} | {part} | {dtype} | {sum(row)} | {shown} | {100 * row[0] / sum(row):.1f} |"


def signature(kind, message):
    """What messages of one cause have in common."""
    message = re.sub(r"^(sample|number) \d+: ", "", message)
    ops = re.findall(r"(\S+) in (?:\w+|<no module>) at \S+, (?:once|\d+ times)(: .*?(?=  |$))?", message)
    if ops:
        return f"{kind}: " + ", ".join(sorted({name + rest.split(" and then")[0] for name, rest in ops}))[:160]
    message = re.sub(r"\S*/\S*", "..", message)
    if kind == "wrong":
        return "wrong: " + re.sub(r"\[.*?\]:.*", " of other values", message)[:80]
    return f"{kind}: " + re.sub(r"\d+", "N", re.sub(r"\(\d+(, \d+)*,?\)|\[[\d, ]*\]", "(..)", message))[:160]


def _reasons(found):
    groups = collections.defaultdict(list)
    for one, part, kind, of_part in pairs(found):
        if kind != "equal":
            groups[signature(kind, of_part["texts"][kind][0])].append((one["name"], part))
    yield "| pairs | what | of |"
    yield "|---|---|---|"
    for cause, of in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        names = sorted({name for name, _ in of})
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        yield f"| {len(of)} | {_cell(cause)} | {shown} |"


def _cell(text):
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _out():
    import database
    import scope

    by_reason = collections.defaultdict(list)
    for entry in database.entries(databases=("op",)):
        why = scope.reason(entry.name)
        if why is not None and entry.name not in by_reason[why]:
            by_reason[why].append(entry.name)
    for why, names in by_reason.items():
        yield f"- {why}: {', '.join(f'`{name}`' for name in names)}"
    yield "- random values bit for bit, and second derivatives: not compared"


def _table(found, base):
    """A row an op: its status in each dtype, forward / gradient; where some samples are equal, how many."""
    names = list(dict.fromkeys(one["name"] for one in found if one["database"] == base))
    columns = DTYPES if base == "op" else [f"{d} {m}" for d in DTYPES[:2] for m in ("train", "eval")]
    cells = {
        (one["name"], f"{one['dtype']} {one['mode']}".strip()): _status(one) for one in found if one["database"] == base
    }
    yield "| name | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name in names:
        yield f"| {name} | " + " | ".join(cells.get((name, column), "") for column in columns) + " |"


def _status(one):
    return " / ".join(_shown(one["parts"][part]) for part in PARTS if part in one["parts"])


def _shown(of_part):
    kind = kind_of(of_part)
    if kind is None:
        return "-"
    compared = sum(count for name, count in of_part["counts"].items() if name in KINDS)
    equal = of_part["counts"].get("equal", 0)
    if "cut" in of_part["counts"]:
        kind += " as far as it went"
    return kind if equal in (0, compared) else f"{kind} ({equal} of {compared} equal)"
