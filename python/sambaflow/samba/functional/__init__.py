# SPDX-License-Identifier: Apache-2.0

"""Operators under their torch names, by area, and those that SambaFlow has and torch has not.

An operator of torch is torch's own function: it takes SambaTensors, and is recorded while a model is traced.
"""

from sambaflow.samba.functional import arithmetic, logical, loss, reduce, stir, tensorarithmetic, tensorops
from sambaflow.samba.functional.arithmetic import *  # noqa: F403
from sambaflow.samba.functional.groups import groupby
from sambaflow.samba.functional.logical import *  # noqa: F403
from sambaflow.samba.functional.loss import *  # noqa: F403
from sambaflow.samba.functional.reduce import *  # noqa: F403
from sambaflow.samba.functional.stir import *  # noqa: F403
from sambaflow.samba.functional.tensorarithmetic import *  # noqa: F403
from sambaflow.samba.functional.tensorops import *  # noqa: F403
from sambaflow.samba.parallel_patterns import sn_gather, sn_multinomial, sn_reduce, sn_scatter

__all__ = [
    *arithmetic.__all__, *logical.__all__, *loss.__all__, *reduce.__all__, *stir.__all__, *tensorarithmetic.__all__,
    *tensorops.__all__, "groupby", "sn_gather", "sn_multinomial", "sn_reduce", "sn_scatter",
]  # fmt: skip
