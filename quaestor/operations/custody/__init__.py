"""Custody of a login: how tokens are had, kept and changed, and how those who ask the broker come by them.

`seeding` and `importing` begin a chain, `refreshing` goes on with it, `access` is all that others see of it, `watching`
keeps it going. `custodian` holds the doors; `rounds` does what the machine (`quaestor.custody.machine`) says.
"""
