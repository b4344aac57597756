# SPDX-License-Identifier: Apache-2.0
"""Makes the package of this tree and the example programs importable in every test folder, and has the compiler check
itself (`--verify-each`) in every compile of a test: graphs after each pass, and the plan of the file (src/pef/legal.h).

`--pef-hashes FILE` writes a line for each PEF that a test compiles: the test and a hash of the bytes. Two runs of one
suite, before and after a change, show with `diff` whether the compiler's output has changed.
`--engine compare` runs every program on both engines, stage by stage: a test fails where they differ in a bit. The op
suite always does.
"""

import functools
import os
import sys

import support
from support import EXAMPLES, ROOT

for _folder in (EXAMPLES, ROOT / "python"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))


def pytest_addoption(parser):
    parser.addoption("--pef-hashes", metavar="FILE", help="write the hash of every PEF that tests compile")
    parser.addoption("--engine", choices=("native", "ref", "compare"), help="run programs on this one (LEAT_ENGINE)")


def _verify_each():
    try:
        from sambaflow._runtime import compiler
    except ImportError:  # nothing is built: tests that need it skip
        return
    options_of = compiler._options

    @functools.wraps(options_of)
    def verifying(*arguments):
        options, keep = options_of(*arguments)
        options.verify_each = 1
        return options, keep

    compiler._options = verifying


def pytest_configure(config):
    _verify_each()
    if config.getoption("--engine") is not None:
        os.environ["LEAT_ENGINE"] = config.getoption("--engine")
    support.NOTED_IN = config.getoption("--pef-hashes")
    if support.NOTED_IN is None:
        return
    open(support.NOTED_IN, "w").close()
    from sambaflow._runtime import compiler

    @functools.wraps(compiler.compile_program)
    def noted(program, pef, *arguments, **keywords):
        compile_program(program, pef, *arguments, **keywords)
        support.note_pef(os.fspath(pef))

    compile_program, compiler.compile_program = compiler.compile_program, noted
