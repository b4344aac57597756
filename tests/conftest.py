# SPDX-License-Identifier: Apache-2.0
"""Makes the package of this tree and the example programs importable in every test folder."""

import sys

from support import EXAMPLES, ROOT

for _folder in (EXAMPLES, ROOT / "python"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
