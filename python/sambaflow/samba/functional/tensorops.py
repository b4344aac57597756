# SPDX-License-Identifier: Apache-2.0
"""The operators of `samba.functional` under the module name that SambaFlow gives this group."""

from sambaflow.samba.functional import *  # noqa: F403
