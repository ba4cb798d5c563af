"""Checked fields that several forms share."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator

from quaestor.config import VaultSection

SOURCE = "https://github.com/quaestor/quaestor/blob/main/docs/blocks.md"  # each form's section there: #name


def _amount(value: str) -> str:
    """A decimal as a person typed it: a form that stored a float would change it."""
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no decimal number; write it like 0.000166") from error
    if not number.is_finite() or number < 0:
        raise ValueError(f"{value!r} must be 0 or more")
    return value


Amount = Annotated[str, AfterValidator(_amount)]


def _vault(said: dict[str, Any]) -> dict[str, Any]:
    """As [vault] says it, checked; a form that says nothing means the local one."""
    return VaultSection.model_validate(said).model_dump(mode="json")


Vault = Annotated[dict[str, Any], AfterValidator(_vault)]
VAULT = "Where secrets are, as in [vault]; empty is the local vault of the data folder."
