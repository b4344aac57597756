# SPDX-License-Identifier: Apache-2.0
"""How a program starts and ends: help before anything slow is imported; one line of message for what a user can mend,
a traceback only with --debug."""

import sys

from sambaflow.samba.utils.argparser import parse_app_args


def help_at_once(**hooks):
    """Shows the help and ends the program if that was asked for. Called ahead of `import torch`, which takes seconds.

    `hooks` are those of `parse_app_args`."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        parse_app_args(**hooks)


def run_program(main):
    """Calls `main()` and returns the exit status."""
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        text = str(error).strip() or type(error).__name__
        print(f"error: {text}", file=sys.stderr)
        return 1
    return 0
