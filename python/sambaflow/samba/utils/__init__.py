# SPDX-License-Identifier: Apache-2.0
"""Helpers of SambaFlow programs. As in `sambaflow.samba`, all but the modules is loaded when it is first asked for."""

from sambaflow._lazy import lazy_package

lazy_package(__name__)
