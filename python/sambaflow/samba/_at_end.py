# SPDX-License-Identifier: Apache-2.0
"""What options of a run ask for at its end: profiles, and a word where a report that was asked for was never made."""

from __future__ import annotations

import argparse
import atexit
import functools

from sambaflow.samba._extras import SessionExtras

RUNTIME_PROFILE, SAMBA_PROFILE = "runtime_profile.log", "samba_profile.json"


_made: set[str] = set()  # options whose report the program has made


def report_made(option: str) -> None:
    """The report that `option` asks for exists."""
    _made.add(option)


def is_asked(args: argparse.Namespace | None, name: str) -> bool:
    """Whether a standard option is on; one that the program defined anew is the program's own."""
    return bool(getattr(args, name, None)) and name not in getattr(args, "program_options", ())


def begin(session: SessionExtras) -> None:
    """After a PEF was loaded: starts the profiles that the options ask for, to be written when the process ends."""
    asked = [is_asked(session.args, name) for name in ("samba_runtime_profile", "enable_profiler", "acc_report_json")]
    if asked[0]:
        session.start_runtime_profile()
    if asked[1]:
        session.start_samba_profile()
    if any(asked):
        _at_exit(session)


@functools.cache
def _at_exit(session: SessionExtras) -> None:
    atexit.register(finish, session)


def finish(session: SessionExtras) -> None:
    """Writes the profiles that are still being taken."""
    if is_asked(session.args, "samba_runtime_profile") and session.is_runtime_profiled:
        session.end_runtime_profile(RUNTIME_PROFILE)
        print(f"[info ] runtime profile written to {RUNTIME_PROFILE}", flush=True)
    if is_asked(session.args, "enable_profiler") and session.is_host_profiled:
        session.end_samba_profile(SAMBA_PROFILE)
        print(f"[info ] profile of the program written to {SAMBA_PROFILE} (for Perfetto)", flush=True)
    if is_asked(session.args, "acc_report_json") and "acc_report_json" not in _made:
        path = session.args.acc_report_json  # type: ignore[union-attr]
        print(f"[warning samba] --acc-report-json: {path} was not written, since the program made no AccuracyReport",
              flush=True)  # fmt: skip
