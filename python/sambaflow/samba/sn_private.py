# SPDX-License-Identifier: Apache-2.0

"""Gather, scatter and draws under the module name that programs import; see `parallel_patterns`."""

from sambaflow.samba.parallel_patterns import sn_gather, sn_multinomial, sn_reduce, sn_scatter

__all__ = ["sn_gather", "sn_multinomial", "sn_reduce", "sn_scatter"]
