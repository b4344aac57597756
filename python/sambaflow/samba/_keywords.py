# SPDX-License-Identifier: Apache-2.0
"""Keywords that other releases have: another name of ours, taken without effect, or refused.

A keyword that no release has is a mistake of the program: a TypeError, as Python itself would raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sambaflow._runtime.library import UnsupportedError
from sambaflow.logging import samba_logger

_ONE_MEMORY = "host and device memory are one"
# Call, keyword, and why it changes nothing.
_IDLE = {
    "session.compile": {
        "io_host_memory": _ONE_MEMORY,
        "is_split_batch": "a batch is split by --microbatch-size",
    },
    "session.run": {
        "data_parallel_mode": "one process runs the program",
    },
}
# Call, keyword, and what to do in its place: it would change the program.
_REFUSED = {
    "session.compile": {
        "graph_transform_hook": "the traced graph is not rewritten by functions; change the model, or replace a module "
        "of it, before session.compile",
    },
    "session.run": {},
}


def check_keywords(call: str, given: Mapping[str, Any]) -> None:
    """A warning, once, for each keyword without effect; UnsupportedError for one that would change the program.

    TypeError names those that nobody knows. A keyword that is None or False asks for nothing.
    """
    idle, refused = _IDLE[call], _REFUSED[call]
    unknown = [name for name in given if name not in idle and name not in refused]
    if unknown:
        raise TypeError(f"{call}() got an unexpected keyword argument {', '.join(map(repr, unknown))}")
    for name in [name for name, value in given.items() if value is not None and value is not False]:
        if name in refused:
            raise UnsupportedError(f"{call}({name}=...) is not supported: {refused[name]}")
        samba_logger.warning(f"{call}({name}=...) has no effect on native: {idle[name]}", log_limit=1)


def one_of(call: str, given: Mapping[str, Any]) -> Any:
    """The value of an argument that goes by several names; None where none of them was used.

    TypeError where two were.
    """
    used = [name for name, value in given.items() if value is not None]
    if len(used) > 1:
        raise TypeError(f"{call}() got {' and '.join(used)}, which are one argument under two names")
    return given[used[0]] if used else None
