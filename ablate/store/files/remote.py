"""Addresses of files that are not in a folder, by fsspec, which is loaded for such an address alone."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from ablate.errors import OptionError
from ablate.system.messages.text import one_line

S3 = "pip install 'attention-ablate[s3]'"
FSSPEC = "pip install 'attention-ablate[files]'"


@cache
def open_remote(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path there.

    Raises:
        OptionError: a package is missing, there is no such kind of address, or it has a password in it.
    """
    scheme, _, rest = address.partition("://")
    if "@" in rest.partition("/")[0] or re.search(r"(?i)(key|secret|token|password)=", rest):
        raise OptionError(
            f"--files {scheme}://…: a password has no place in it, where others can read it: put it where "
            "the package of that store looks for it (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3)"
        )
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError:
        raise OptionError(f"--files {address}: needs fsspec: {FSSPEC}") from None
    try:
        system, root = url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        how = S3 if scheme in ("s3", "s3a") else one_line(error)
        raise OptionError(f"--files {address}: its package is not installed: {how}") from None
    except ValueError as error:
        raise OptionError(
            f"--files {address}: {error}; write a folder, or s3://BUCKET/PATH"
        ) from None
    return system, str(root)
