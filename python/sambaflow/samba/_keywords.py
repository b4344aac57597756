# SPDX-License-Identifier: Apache-2.0
"""Keywords that other releases have: another name of ours, taken without effect, or refused.

A keyword that no release has is a mistake of the program: a TypeError, as Python itself would raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sambaflow._base.library import UnsupportedError
from sambaflow.logging import samba_logger

# Call, keyword, and our name of that argument.
_NAMES = {
    "session.compile": {"optim": "optimizers"},
    "utils.trace_graph": {"optimizers": "optim"},
}
_ONE_MEMORY = "host and device memory are one"
_IN_THE_PEF = "it was settled when the PEF was compiled"
# Call, keyword, and why it changes nothing.
_IDLE = {
    "session.compile": {
        "io_host_memory": _ONE_MEMORY,
        "is_split_batch": "a batch is split by --microbatch-size",
    },
    "session.run": {
        "data_parallel_mode": "one process runs the program",
    },
    "utils.trace_graph": {
        **dict.fromkeys(("config_dict", "inference", "metadata", "pef_metadata", "squeeze_bs_dim"), _IN_THE_PEF),
        **dict.fromkeys(("app_dir", "name"), "the PEF has its place and name"),
        "dev_mode": "it shows more options in the help of a program",
    },
}
# Call, keyword, and what to do in its place: it would change the program.
_REFUSED = {
    "session.compile": {
        "graph_transform_hook": "the traced graph is not rewritten by functions; change the model, or replace a module "
        "of it, before session.compile",
    },
    "session.run": {},
    "utils.trace_graph": {
        "distlearn_config": "several processes are not supported yet; run one process without it",
    },
}


def other_name(call: str, name: str, value: Any, given: dict[str, Any]) -> Any:
    """The argument `name` of `call`, which may have been given under another name; that one is taken out of `given`."""
    aliases = [alias for alias, own in _NAMES[call].items() if own == name and alias in given]
    return one_of(call, {name: value, **{alias: given.pop(alias) for alias in aliases}})


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
