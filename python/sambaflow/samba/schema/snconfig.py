# SPDX-License-Identifier: Apache-2.0

"""SNConfig: every standard option of a program with its type, and SambaConfig, which fills it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sambaflow.samba.argconf.args import CompileArgs, RunArgs


class SNConfig(CompileArgs, RunArgs):
    """The options of compile and run in one schema; a program's own options are kept beside them."""


class SambaConfig:
    """The options of `args`, checked by a schema.

    args = SambaConfig(args, SNConfig).get_all_params()
    """

    def __init__(self, args: argparse.Namespace | Mapping[str, Any], schema: type[SNConfig] = SNConfig) -> None:
        given = vars(args) if isinstance(args, argparse.Namespace) else dict(args)
        # An option that is None was not given, so that the default of the schema holds.
        wanted = {name: value for name, value in given.items() if value is not None}
        try:
            self._config = schema(**wanted)
        except ValidationError as error:
            details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ValueError(f"{schema.__name__}: {details}") from error
        self._given = given

    def get_all_params(self) -> argparse.Namespace:
        """All options: those given, as the schema understands them, and the schema's defaults for the rest."""
        return argparse.Namespace(**{**self._given, **self._config.model_dump()})
