# SPDX-License-Identifier: Apache-2.0
"""Checks every name of the SambaFlow SDK and writes docs/compatibility.md from what came out.

usage: make_compatibility.py [--check] [--list PATTERN]

`compatibility/names.yaml` says which names there are and how each is checked; probes use them. Without options the
page is written. `--check` writes nothing and fails if the page is not current. `--list` shows the verdicts of the names
that match. The exit status is 1 if a name is broken, or if fewer than 90 % of them work.
"""

import argparse
import importlib
import inspect
import os
import re
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
sys.path[:0] = [str(ROOT / "tools" / "compatibility")]
LEAST_SHARE = 0.9

WORKS, IDLE, REFUSED, BROKEN = "works", "no effect", "refused", "BROKEN"


@dataclass
class Entry:
    """One name: how it is checked, and the verdict."""

    area: str
    name: str
    args: list = field(default_factory=list)
    idle: list = field(default_factory=list)
    also: list = field(default_factory=list)
    without: list = field(default_factory=list)
    why: str = ""
    probe: object = None
    refused: str = ""
    differs: str = ""
    says: str = ""
    verdict: str = ""
    message: str = ""

    @property
    def weight(self):
        """How many names the row stands for: itself and its arguments."""
        return 1 + len(self.args)

    @property
    def working(self):
        """How many of them do what they do in SambaFlow."""
        if self.verdict != WORKS:
            return 0
        return self.weight - len([a for a in self.idle if a in self.args])


def read_entries():
    """All rows of names.yaml; lists of operators, attributes and fields give one row a name."""
    import operators
    import probes_session
    import probes_tensor
    import probes_tools

    probes = {**vars(probes_tensor), **vars(probes_session), **vars(probes_tools)}
    with open(ROOT / "tools" / "compatibility" / "names.yaml", encoding="utf-8") as file:
        areas = yaml.safe_load(file)
    entries = []
    for area in areas:
        title = area["area"]
        for name, row in (area.get("names") or {}).items():
            row = dict(row)
            if "probe" in row:
                row["probe"] = probes[row["probe"]]
            entries.append(Entry(title, str(name), **row))
        if area.get("operators"):
            entries += [Entry(title, f"samba.{name}", probe=operators.use(name)) for name in operators.names()]
        for name in (area.get("attributes") or "").split():
            entries.append(Entry(title, name, says="attribute", probe=attribute_probe(name)))
        for name in (area.get("fields") or "").split():
            entries.append(Entry(title, f"CompileArgs.{name}", says="field", probe=field_probe(name)))
    return entries


def attribute_probe(name):
    def probe(world):
        from sambaflow.samba.utils.argparser import parse_app_args

        assert hasattr(parse_app_args(argv=["compile"]), name), f"args.{name} does not exist"

    return probe


def field_probe(name):
    def probe(world):
        from sambaflow.samba.argconf.args import CompileArgs

        assert name in CompileArgs.model_fields, f"CompileArgs has no field {name}"

    return probe


# ---- checking


def resolve(name):
    """The object that a dotted name means."""
    parts = name.split(".")
    if parts[0] == "samba":
        parts.insert(0, "sambaflow")
    if parts[0] == "SambaTensor":
        parts[:1] = ["sambaflow", "samba", "SambaTensor"]
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ImportError:
            continue
        if parts[:3] == ["sambaflow", "samba", "session"] and not (len(parts) > 3 and hasattr(found, parts[3])):
            found = sys.modules["sambaflow.samba"].session
        for part in parts[split:]:
            found = inspect.getattr_static(found, part) if inspect.isclass(found) else getattr(found, part)
        return found
    raise ImportError(f"no module {parts[0]}")


def check_arguments(entry, target):
    if isinstance(target, staticmethod):
        target = target.__func__
    call = target.__new__ if entry.name in ("SambaTensor", "samba.nn.parameter.SambaParameter") else target
    known = inspect.signature(call).parameters
    missing = [name for name in entry.args if name not in known]
    if missing:
        raise AssertionError(f"no argument {', '.join(missing)}; there are {', '.join(known)}")


def run_probe(entry):
    """Runs the probe; the message of the error that it raised, or None."""
    from world import World

    world = World()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entry.probe(world)
    except Exception as error:
        if not entry.refused:
            raise
        return str(error)
    finally:
        world.close()
    return None


def check(entry):
    """Gives `entry` its verdict."""
    try:
        if not entry.says:
            target = resolve(entry.name)
            if entry.args:
                check_arguments(entry, target)
        message = run_probe(entry) if entry.probe else None
        if entry.refused:
            if message is None or not re.search(entry.refused, message):
                raise AssertionError(f"expected an error about {entry.refused!r}, got {message!r}")
            entry.verdict, entry.message = REFUSED, message
        else:
            entry.verdict = IDLE if entry.idle and not entry.args else WORKS
    except Exception as error:
        entry.verdict, entry.message = BROKEN, f"{type(error).__name__}: {error}".splitlines()[0]


# ---- the page


def counts(entries):
    total = sum(e.weight for e in entries)
    working = sum(e.working for e in entries)
    refused = sum(e.weight for e in entries if e.verdict == REFUSED)
    broken = sum(e.weight for e in entries if e.verdict == BROKEN)
    return total, working, total - working - refused - broken, refused, broken


def remark(entry):
    """The last column: what differs and why."""
    parts = []
    if entry.verdict == REFUSED:
        parts.append(first_sentence(entry.message))
    if entry.verdict == BROKEN:
        parts.append(entry.message)
    if entry.differs:
        parts.append(entry.differs)
    if entry.idle and entry.args:
        parts.append(f"no effect: {', '.join(f'`{a}`' for a in entry.idle if a in entry.args)} ({entry.why})")
    elif entry.why:
        parts.append(entry.why)
    if entry.also:
        parts.append(f"ignored: {', '.join(f'`{a}`' for a in entry.also)}, of older releases")
    if entry.without:
        parts.append(f"refused: {', '.join(f'`{a}`' for a in entry.without)}")
    return "; ".join(parts).replace("|", "\\|")


def first_sentence(message):
    return message.splitlines()[0].split("; ")[0]


def row(entry):
    name = entry.name if entry.says and entry.says not in ("attribute", "field") else f"`{entry.name}`"
    says = entry.says if entry.says not in ("attribute", "field") else ""
    arguments = ", ".join(f"`{a}`" for a in entry.args)
    return f"| {name} | {entry.verdict} | {says or arguments} | {remark(entry)} |"


def short_area(title, entries):
    """Areas whose rows say nothing but a verdict are listed, not tabled."""
    lines = [f"## {title}", ""]
    for verdict in (WORKS, IDLE, REFUSED, BROKEN):
        named = [f"`{e.name}`" for e in entries if e.verdict == verdict]
        if named:
            lines += [f"{len(named)} {verdict}: {', '.join(named)}.", ""]
    return lines


def page(entries):
    total, working, idle, refused, broken = counts(entries)
    share = 100 * working / total
    lines = [
        "# Compatibility with SambaFlow",
        "",
        "Written by `tools/make_compatibility.py`, which checks every name by using it: it is imported, its arguments",
        "are looked up, and a small program uses it and compares the outcome, mostly with PyTorch. The names are in",
        "`tools/compatibility/names.yaml`, the uses beside it.",
        "",
        f"**{total} names** (arguments included): **{working} work ({share:.1f} %)**, {idle} are accepted and change "
        f"nothing, {refused} are refused with a message, {broken} are broken.",
        "",
        "| verdict | meaning |",
        "|---|---|",
        "| works | does what it does in SambaFlow; the last column says where it differs and why |",
        "| no effect | accepted; concerns the chip or several processes, and changes nothing on a CPU |",
        "| refused | raises one error that says what to do instead |",
        "",
    ]
    for title in dict.fromkeys(e.area for e in entries):
        rows = [e for e in entries if e.area == title]
        if all(not e.args and not e.differs and not e.why and e.says in ("", "attribute", "field") for e in rows):
            lines += short_area(title, rows)
            continue
        lines += [f"## {title}", "", "| name | verdict | arguments, or what is meant | remark |", "|---|---|---|---|"]
        lines += [*map(row, rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if the page is not current")
    parser.add_argument("--list", metavar="PATTERN", help="show the verdicts of names that match")
    args = parser.parse_args()
    os.environ.setdefault("LEAT_NUM_THREADS", "1")
    entries = read_entries()
    if args.list:
        entries = [e for e in entries if re.search(args.list, f"{e.area} {e.name}")]
    for entry in entries:
        check(entry)
    if args.list:
        print("\n".join(f"{e.verdict:9} {e.name}  {e.message}" for e in entries))
        return 0
    broken = [e for e in entries if e.verdict == BROKEN]
    for entry in broken:
        print(f"broken: {entry.area}: {entry.name}: {entry.message}", file=sys.stderr)
    total, working, *_ = counts(entries)
    text = page(entries)
    if args.check:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE.relative_to(ROOT)} is not current: run tools/make_compatibility.py", file=sys.stderr)
            return 1
    else:
        PAGE.write_text(text, encoding="utf-8")
    print(f"compatibility: {total} names, {100 * working / total:.1f} % work")
    return 1 if broken or working < LEAST_SHARE * total else 0


if __name__ == "__main__":
    sys.exit(main())
