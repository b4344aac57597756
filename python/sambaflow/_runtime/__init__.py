# SPDX-License-Identifier: Apache-2.0
"""libleat as the SDK uses it: compile a traced program, load a PEF, read and write its symbols."""
