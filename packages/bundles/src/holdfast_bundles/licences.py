"""SPDX licence expressions, checked offline against the list that ships with the library."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from holdfast_protocol.errors import Code, HoldfastError

# The library carries no type information; this file is its one user.
from license_expression import (  # type: ignore[import-untyped]
    ExpressionError,
    Licensing,
    get_spdx_licensing,
)

_REFERENCE: Final = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,80}")
_EXPRESSION_LENGTH: Final = 300


def normalise(expression: str) -> str:
    """Return the SPDX expression in its usual spelling; raises ``LICENSE_INVALID``.

    ``LicenseRef-`` names are taken as they are: a licence that SPDX does not list.
    """
    if len(expression) > _EXPRESSION_LENGTH:
        raise HoldfastError(Code.LICENSE_INVALID, "The licence expression is too long.")
    references = _REFERENCE.findall(expression)
    known = _spdx()
    try:
        parsed = known.parse(_REFERENCE.sub("MIT", expression), validate=True, strict=True)
    except ExpressionError as error:
        raise HoldfastError(
            Code.LICENSE_INVALID, f"{expression[:80]!a} is not an SPDX licence expression."
        ) from error
    if parsed is None:
        raise HoldfastError(Code.LICENSE_INVALID, "No licence is named.")
    return str(parsed) if not references else " ".join(expression.split())


@cache
def _spdx() -> Licensing:
    return get_spdx_licensing()
