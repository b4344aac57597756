# SPDX-License-Identifier: Apache-2.0
"""--yaml-config: files that would unfold, nest or count without end are refused with file and place."""

import argparse

import pytest
from sambaflow.samba.utils.argparser import parse_yaml_to_args

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)

REFUSED = {
    "aliases of aliases": (BOMB, r"c\.yaml:4:4: its aliases unfold to more than \d+ values"),
    "aliases, many times": ("a: &a [1,1,1,1,1,1]\nb: [" + "*a," * 9999 + "]", "unfold to more than"),
    "a list that holds itself": ("a: &a [*a]", "1:4: a value that holds itself"),
    "a mapping that holds itself": ("a: &a {b: *a}", "a value that holds itself"),
    "nesting": ("a: " + "[" * 9999 + "]" * 9999, "nested too deeply"),
    "a long number": ("a: " + "1" * 9999, "a number of 9999 characters"),
    "a long sexagesimal": ("a: " + ":".join("1" * 9999), "a number of"),
    "no date": ("a: 2020-99-99", r"c\.yaml:1:4: month must be"),
    "length": ("a: " + "x" * 300_000, "longer than 262144 characters"),
    "bytes": ("a: \xff".encode("latin-1"), "not a YAML file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_configuration_that_would_not_end_is_refused(name, tmp_path):
    content, message = REFUSED[name]
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        parse_yaml_to_args(str(path), argparse.Namespace())


def test_aliases_and_merged_keys_are_read(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("base: &b {x: 1}\nboth: [*b, *b]\nmore: {<<: *b, y: 2}\n")
    found = parse_yaml_to_args(str(path), argparse.Namespace())
    assert found.both == [{"x": 1}, {"x": 1}] and found.more == {"x": 1, "y": 2}
