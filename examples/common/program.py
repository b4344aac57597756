# SPDX-License-Identifier: Apache-2.0
"""How a program ends: one line of message for what a user can mend, a traceback only with --debug."""

import sys


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
