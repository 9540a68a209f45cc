"""What an operator can set, as frozen values: `config.settings`."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""The version of the gateway; the same as in pyproject.toml, which is not there in an image."""
