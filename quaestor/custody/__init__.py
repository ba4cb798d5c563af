"""Custody: whose tokens open the broker, what is known of them, and when they are changed for new ones.

Pure: no vault, no broker, no clock. What asks and stores is in `operations.custody`; docs/robinhood.md tells the story.
"""
