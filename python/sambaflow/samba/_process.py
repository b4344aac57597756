# SPDX-License-Identifier: Apache-2.0
"""The session of the process, `samba.session`, for the modules of the package. A program may replace it."""

from __future__ import annotations

from sambaflow import logging
from sambaflow.samba.profiler import Profiler
from sambaflow.samba.session import SambaSession

session = SambaSession()
session.profiler = Profiler()
logging.take_options(lambda: session.args)
