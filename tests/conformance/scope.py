# SPDX-License-Identifier: Apache-2.0
"""What the conformance run leaves out, and why: patterns of names in PyTorch's databases.

The first row that matches a whole name counts. Ops whose results are drawn or left unwritten are run, but only shapes
and dtypes of their results are compared.
"""

import re

DATA = "its result's shape, or a Python value, follows from the data"
SPARSE = "sparse tensors"
DENSE = "a dense decomposition"

OUT = (
    (r"allclose|argwhere|bincount|combinations|equal|item|masked_select|nonzero|unique|unique_consecutive", DATA),
    (r"sparse_.*|to_sparse", SPARSE),
    (r"linalg_(cond|eig|eigh|eigvals|eigvalsh|householder_product|ldl_.*|lstsq.*|lu|lu_factor.*|lu_solve)", DENSE),
    (r"linalg_(matrix_rank.*|pinv.*|qr|svd|svdvals)", DENSE),
    (r"geqrf|lu|lu_solve|lu_unpack|ormqr|pca_lowrank|pinverse|qr|svd|svd_lowrank|norm_nuc", DENSE),
)

# Results that are whatever memory held. Drawn ones are found by drawing twice.
UNWRITTEN = r"empty(_like|_strided|_permuted)?|new_empty(_strided)?|resize_(as_)?.*"


# Gradients of which eager mode leaves a part unwritten.
UNWRITTEN_GRADIENT = r"as_strided_scatter"


def reason(name):
    """Why the op `name` is left out, or None."""
    return next((why for pattern, why in OUT if re.fullmatch(pattern, name)), None)


def is_unwritten(name, gradient):
    """Whether only shapes and dtypes of results, or of gradients, are known."""
    return re.fullmatch(UNWRITTEN, name) is not None or (
        gradient and re.fullmatch(UNWRITTEN_GRADIENT, name) is not None
    )
