# SPDX-License-Identifier: Apache-2.0

"""The queue of requests."""

from __future__ import annotations

from typing import Any

from sambaflow._base.library import UnsupportedError


class Queue:
    """Refused: it reads requests from a cloud queue, and this implementation talks to no network."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise UnsupportedError(
            "online_inference_service.Queue is not supported: it reads requests from a cloud queue, and nothing here "
            "talks to a network; take requests with your own client and hand each to samba.session.run"
        )
