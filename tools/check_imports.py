# SPDX-License-Identifier: Apache-2.0
"""Holds the layers of the SDK over every import of python/sambaflow, and finds circles of modules.

Imports inside functions and under TYPE_CHECKING count like those at the top. What stands above is reached through the
plug-in points alone: `active_trace` and `hold_by_default` of `_tensors/binding.py`, `take_options` of `logging.py`, and
the lazy packages of `_lazy.py`, whose contents are found by name.

Prints one line for each import that the table forbids and for each circle, and exits with 1 if there is one.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sambaflow"

_LOW = ["_base", "logging", "_tensors", "_trace", "_runtime"]
# Layer (a module or package of sambaflow) -> layers it may import besides itself. The longest name that fits counts.
MAY_IMPORT = {
    "": [],
    "_lazy": [],
    "_base": ["_leat"],
    "logging": ["_base"],
    "_tensors": ["_base"],
    "_trace": ["_base", "logging", "_tensors"],
    "_runtime": ["_base", "logging", "_tensors", "_trace"],
    "samba": ["_lazy", *_LOW],
    "samba.utils": ["_lazy", *_LOW, "samba"],
    "samba._contents": ["_tensors", "samba", "samba.utils"],
    "samba.utils._contents": ["samba.utils"],
    "frameworks": ["_tensors", "_trace", "samba"],
    "mac": [],
    "online_inference_service": ["_base"],
    "sambacollections": [],
}


def modules():
    """Every module by its name below the package ("" is the package itself): its file."""
    found = {}
    for path in sorted((ROOT / "python" / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / "python" / PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def below(name):
    """`sambaflow.samba.test` as `samba.test`; None for what is not of the package."""
    return name[len(PACKAGE) + 1 :] if name.split(".")[0] == PACKAGE else None


def imports(path, known):
    """(line, module) of every import of our own in a file; of `from a import b` that is a.b where it is a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "."  # relative: not how this package names its modules
        elif isinstance(node, ast.ImportFrom):
            base = below(node.module or "")
            for alias in node.names if base is not None else ():
                inner = f"{base}.{alias.name}".lstrip(".")
                yield node.lineno, inner if inner in known or inner == "_leat" else base
        elif isinstance(node, ast.Import):
            names = [below(alias.name) for alias in node.names]
            yield from ((node.lineno, name) for name in names if name is not None)


def layer_of(module):
    """The row of the table that a module belongs to; None: there is none."""
    rows = [row for row in MAY_IMPORT if row == module or (row and module.startswith(f"{row}."))]
    return max(rows, key=len, default=None)


def forbidden(module, target):
    """Why `module` may not import `target`, or None."""
    layer = layer_of(module)
    if target == ".":
        return "an import names the module from the package on"
    if layer is None:
        return "has no row in the table"
    owner = "_leat" if target == "_leat" else layer_of(target)
    if owner in (layer, *MAY_IMPORT[layer]):
        return None
    return f"belongs to layer {layer or PACKAGE}, which may import " + (
        ", ".join(MAY_IMPORT[layer]) or "nothing of ours"
    )


def circles(graph):
    """The strongly connected components of more than one module (Tarjan)."""
    order, low, open_, found = {}, {}, [], []

    def visit(module):
        order[module] = low[module] = len(order)
        open_.append(module)
        for target in graph[module]:
            if target not in order:
                visit(target)
            if target in open_:
                low[module] = min(low[module], low[target])
        if low[module] == order[module]:
            at = open_.index(module)
            if len(open_) > at + 1:
                found.append(sorted(open_[at:]))
            del open_[at:]

    for module in graph:
        if module not in order:
            visit(module)
    return found


def main():
    known, graph, complaints = modules(), {}, []
    for module, path in known.items():
        graph[module] = set()
        for line, target in imports(path, known):
            reason = forbidden(module, target)
            if reason:
                complaints.append(f"{path.relative_to(ROOT)}:{line}: imports {target or PACKAGE}, but {reason}")
            if target in known and target != module:
                graph[module].add(target)
    complaints += [f"a circle of {len(c)} modules: {', '.join(c)}" for c in circles(graph)]
    print("\n".join(complaints) if complaints else "imports: the layers of the SDK hold, and there is no circle")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
