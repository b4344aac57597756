# SPDX-License-Identifier: Apache-2.0
"""From a traced program to a PEF."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sambaflow._runtime.library import check, library
from sambaflow._trace.program import Program


@contextlib.contextmanager
def parsed(program: Program) -> Iterator[Any]:
    """The program as a graph of libleat: what is compiled, and fingerprinted."""
    with _parsed_text(program) as whole:
        if program.part is None:
            yield whole
            return
        ffi, lib = library().ffi, library().lib
        out = ffi.new("leat_graph_t **")
        with _parsed_text(program.part) as part:
            check(lib.leat_graph_microbatch(whole, part, out))
        try:
            yield out[0]
        finally:
            lib.leat_graph_destroy(out[0])


@contextlib.contextmanager
def _parsed_text(program: Program) -> Iterator[Any]:
    ffi, lib = library().ffi, library().lib
    text = program.text.encode()
    out = ffi.new("leat_graph_t **")
    check(lib.leat_graph_parse(text, len(text), out))
    try:
        for index, blob in enumerate(program.blobs):
            check(lib.leat_graph_set_blob(out[0], index, blob, len(blob)))
        yield out[0]
    finally:
        lib.leat_graph_destroy(out[0])


def compile_program(
    program: Program,
    path: str,
    *,
    arch: str = "native",
    optim_level: int = 3,
    inference: bool = False,
    metadata: Mapping[str, Any] | None = None,
    verify_each: bool = False,
) -> None:
    """Compiles `program` and writes the PEF to `path`."""
    ffi, lib = library().ffi, library().lib
    options = ffi.new("leat_compile_options_t *", lib.leat_compile_options_default())
    keep = [ffi.new("char[]", arch.encode()), ffi.new("char[]", json.dumps(metadata or {}, sort_keys=True).encode())]
    options.arch, options.metadata = keep
    options.optim_level = optim_level
    options.inference = int(inference)
    options.verify_each = int(verify_each)
    with parsed(program) as graph:
        check(lib.leat_compile(graph, options, path.encode()))


def fingerprint(program: Program) -> tuple[int, int, int]:
    """Hashes of forward, seeds and optimizers."""
    ffi, lib = library().ffi, library().lib
    out = ffi.new("uint64_t[3]")
    with parsed(program) as graph:
        check(lib.leat_graph_fingerprint(graph, out))
    return out[0], out[1], out[2]
