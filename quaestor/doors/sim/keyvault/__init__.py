"""Azure Key Vault, locally: its REST over TLS, and the endpoint at which a managed identity fetches its tokens.

    place       where both are served, and the certificate that they are shown with
    server      the vault: a challenge first, then secrets, for whom a role allows it
    safe        what lies in it: versions, soft-deleted names
    identities  who there is, their roles and their tokens

The real `azure-keyvault-secrets` and `azure-identity` speak to it. What goes wrong is told by `faults` (of the vault)
and `identity.faults` (of the endpoint); a fault's symbol is the action that it strikes: get, list, set, update, delete,
recover, purge, or token. A `status` strikes before anything is done; each other kind strikes the answer, when it is.
"""

from quaestor.doors.sim.keyvault.identities import OFFICER, USER, Identities
from quaestor.doors.sim.keyvault.place import Place
from quaestor.doors.sim.keyvault.server import KeyVaultServer, Seen

__all__ = ["OFFICER", "USER", "Identities", "KeyVaultServer", "Place", "Seen"]
