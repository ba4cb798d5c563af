"""Doors: one outside system per file. The only place with network, SDKs, SQL and secrets. No door imports another."""
