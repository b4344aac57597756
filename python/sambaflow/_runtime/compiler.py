# SPDX-License-Identifier: Apache-2.0
"""From a traced program to a PEF."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sambaflow._base.library import check, library
from sambaflow._base.messages import Messages
from sambaflow._base.options import Option, text_of
from sambaflow._trace.program import Program


@contextlib.contextmanager
def parsed(program: Program) -> Iterator[Any]:
    """The program as a graph of libleat: what is fingerprinted."""
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
    given: Mapping[Option, Any] | None = None,
    inference: bool = False,
    metadata: Mapping[str, Any] | None = None,
    report_dir: str | None = None,
    messages: Messages | None = None,
    single_ops: bool = False,
) -> None:
    """Compiles `program` and writes the PEF to `path`. `given` are options with their values (options.py).

    With `single_ops` every op is a section of its own, and equal ones are not shared: each stage names its op.
    """
    ffi, lib = library().ffi, library().lib
    options, keep = _options(given or {}, messages)
    keep.append(ffi.new("char[]", json.dumps(metadata or {}, sort_keys=True).encode()))
    options.metadata = keep[-1]
    options.inference = int(inference)
    if single_ops:
        options.optim_level, options.separate_bodies = 0, 1
    if report_dir:
        keep.append(ffi.new("char[]", report_dir.encode()))
        options.report_dir = keep[-1]
    with contextlib.ExitStack() as graphs:
        if program.part is not None:
            options.part = graphs.enter_context(_parsed_text(program.part))
        check(lib.leat_compile(graphs.enter_context(_parsed_text(program)), options, path.encode()))


def check_options(given: Mapping[Option, Any]) -> None:
    """Raises InvalidArgumentError, which says what is legal, or UnsupportedError."""
    check(library().lib.leat_compile_options_check(_options(given, None)[0]))


def _options(given: Mapping[Option, Any], messages: Messages | None) -> tuple[Any, list[Any]]:
    """The C options, and what must outlive them."""
    ffi, lib = library().ffi, library().lib
    options = ffi.new("leat_compile_options_t *", lib.leat_compile_options_default())
    keep: list[Any] = []

    def text(value: str | bytes) -> Any:
        keep.append(ffi.new("char[]", value.encode() if isinstance(value, str) else value))
        return keep[-1]

    if messages is not None:
        keep += _callbacks(options, messages)
    for option, value in given.items():
        shown = text_of(option, value)
        check(lib.leat_compile_options_set(options, text(option.name), ffi.NULL if shown is None else text(shown)))
    _read_files(options, text)
    return options, keep


def _callbacks(options: Any, messages: Messages) -> list[Any]:
    """Leads the compiler's messages to `messages`; what is returned must outlive the compile."""
    ffi = library().ffi

    @ffi.callback("leat_log_t")
    def log(_user: Any, level: int, layer: Any, line: Any) -> None:
        messages.say(level, ffi.string(layer).decode(), ffi.string(line).decode(errors="replace"))

    @ffi.callback("leat_progress_t")
    def progress(_user: Any, done: int, total: int, what: Any) -> None:
        messages.progress(done, total, ffi.string(what).decode())

    options.log, options.progress = log, progress
    return [log, progress]


def _read_files(options: Any, text: Callable[[str | bytes], Any]) -> None:
    """Options that name a file get its text."""
    ffi = library().ffi
    for field in ("rules", "decisions"):
        name = getattr(options, field)
        if name != ffi.NULL:
            path = ffi.string(name).decode()
            with open(path, "rb") as file:
                setattr(options, field, text(file.read()))
            setattr(options, f"{field}_name", name)


def fingerprint(program: Program, version: int) -> tuple[int, int, int]:
    """Hashes of forward, seeds and optimizers, by the definition of `version`."""
    ffi, lib = library().ffi, library().lib
    out = ffi.new("uint64_t[3]")
    with parsed(program) as graph:
        check(lib.leat_graph_fingerprint(graph, version, out))
    return out[0], out[1], out[2]


def batch_dims(program: Program, other: Program) -> dict[str, int | None]:
    """The dim along which each output of `program` has its batch; None where every row counts in every element.

    `other`: the same program traced on another number of rows. MismatchError where it has other outputs.
    """
    ffi, lib = library().ffi, library().lib
    dims = ffi.new("int32_t[]", max(1, len(program.outputs)))
    with _parsed_text(program) as graph, _parsed_text(other) as same:
        check(lib.leat_graph_batch_dims(graph, same, dims, len(program.outputs)))
    named = zip(program.outputs, dims, strict=False)
    return {port.name: None if dim == lib.LEAT_NO_DIM else int(dim) for port, dim in named}
