"""Robinhood's official Crypto Trading API: signed requests, no login, no token, no person after the key is made.

`signing` makes a request ours, `keys` fetches what that takes out of the vault, `wire` carries it, `line` says what an
answer means, `orders` and `fills` what Robinhood tells, in our words; `broker` is the door. It speaks version 2:
https://docs.robinhood.com/crypto/trading/
"""
