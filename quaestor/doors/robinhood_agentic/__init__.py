"""Robinhood's official Agentic Trading channel for equities: tools of a server that speaks the Model Context Protocol.

`schemas` says what we need of each tool, `line` carries the calls over the official SDK, `reading` turns answers into
our words, `attribution` tells whose order a listed one is, `broker` is the `ports.Broker`, `oauth` the login.
docs/robinhood-agentic.md tells the story.
"""
