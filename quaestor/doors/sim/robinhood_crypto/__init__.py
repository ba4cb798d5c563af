"""Robinhood's Crypto Trading API (version 2), locally: `gate` checks signatures, `book` keeps the accounts, `server`
speaks the protocol."""
