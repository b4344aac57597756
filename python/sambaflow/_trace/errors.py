# SPDX-License-Identifier: Apache-2.0
"""What tracing can raise. Every message says what, where, and what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any


class TraceError(RuntimeError):
    """The program cannot be traced."""


class BranchError(TraceError):
    """Python asked a traced tensor for its value."""

    def __init__(self, what: str, module: str, source: str) -> None:
        super().__init__(
            f"{source}: {what} needs the value of a traced tensor (in module {module or '<none>'}), which exists only "
            "when the compiled program runs. Express the choice with tensors (torch.where, masks), decide from shapes "
            "or Python arguments, or take this part out of forward"
        )


# What Python and torch raise, for which a program may be prepared.
_KINDS = (
    NotImplementedError, IndexError, KeyError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError,
    RuntimeError,
)  # fmt: skip


def is_ours(error: Exception) -> bool:
    """Whether an error has a type of this package, and so a message of its own."""
    return any(kind.__module__.split(".")[0] == "sambaflow" for kind in type(error).__mro__)


def located(error: Exception, module: str, source: str) -> TraceError:
    """What Python or torch raised below a line of the program, with its place; of the same kind as `error`, too."""
    kind = next((kind for kind in _KINDS if isinstance(error, kind)), RuntimeError)
    bases = (TraceError,) if kind is RuntimeError else (TraceError, kind)
    made = type("TraceError", bases, {"__module__": __name__, "__str__": RuntimeError.__str__})
    text = str(error).removeprefix(f"{source}: ")
    return made(  # type: ignore[no-any-return]
        f"{source}: in module {module}: {text} ({type(error).__name__} while this line was traced; a line that eager "
        "mode takes has to be written with other ops, or kept outside forward)"
    )


COMPLEX_INSTEAD = "compute with real and imaginary parts instead, each a real tensor"


class ComplexError(TraceError):
    """The program made a complex number."""

    def __init__(self, what: str, module: str, source: str) -> None:
        super().__init__(
            f"{source}: {what} makes complex numbers (in module {module or '<none>'}), which cannot be compiled; "
            f"{COMPLEX_INSTEAD}"
        )


class StaleError(TraceError):
    """A tensor that an earlier call of forward made is used by a later one: state that has no place in the program."""

    def __init__(self, tensor: Any, module: str, source: str) -> None:
        made_in, made_at = (tensor.value.op.origin or ("", "<unknown>"))[:2]
        super().__init__(
            f"{source}: in module {module or '<none>'}, forward uses a tensor that an earlier call of it made at "
            f"{made_at} (module {made_in or '<none>'}). State that lasts from call to call needs a value before the "
            "first call: make it a buffer (register_buffer), or a tensor attribute of the module, and write to that"
        )
        self.tensor = tensor


@dataclass(frozen=True, order=True)
class Unsupported:
    """One thing the compiler has no op for, and where it stands in the program."""

    op: str
    reason: str
    module: str
    source: str


class UnsupportedOpsError(TraceError, NotImplementedError):
    """Lists every unsupported op of the program at once."""

    def __init__(self, found: Counter[Unsupported], after: Exception | None = None) -> None:
        lines = []
        for item, count in sorted(found.items()):
            times = "once" if count == 1 else f"{count} times"
            reason = f": {item.reason}" if item.reason else ""
            lines.append(f"  {item.op} in {item.module or '<no module>'} at {item.source}, {times}{reason}")
        if after is not None:
            lines.append(f"and then, maybe for want of their results: {after}")
        super().__init__(
            f"{len(found)} use(s) of ops that cannot be compiled; rewrite them with supported ops or keep them outside "
            "forward:\n" + "\n".join(lines)
        )
        self.found = found
