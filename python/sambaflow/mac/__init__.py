# SPDX-License-Identifier: Apache-2.0

"""Mapping of programs to chips, under SambaFlow's name."""
