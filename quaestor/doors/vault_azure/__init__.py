"""The Azure Key Vault as the place of secrets, through Microsoft's own client libraries.

    store    `AzureKeyVault`, a `ports_secrets.SecretStore`
    login    who we are there: a managed identity, or the developer of `az login`
    line     the wire under both: bounds of time and size around every request
    meaning  what each error of the libraries means for us

A vault keeps every version of a secret, in no order and by the second; a newer value never overwrites an older one.
What is past its end is still given out: `expires_at` is for whoever looks. There is no compare-and-set.
"""

from quaestor.doors.vault_azure.line import Patience
from quaestor.doors.vault_azure.store import AzureKeyVault

__all__ = ["AzureKeyVault", "Patience"]
