# SPDX-License-Identifier: Apache-2.0
"""Pages of docs/ that a tool makes from a table: written, or with --check compared with what is there."""


def keep(page, text, tool, arguments):
    """Writes the page, or with --check says whether it is current; gives the exit status."""
    if "--check" not in arguments:
        page.write_text(text, encoding="utf-8")
        return 0
    if page.exists() and page.read_text(encoding="utf-8") == text:
        return 0
    print(f"docs/{page.name} is not current: run tools/{tool}")
    return 1
