"""Legacy: an old bot's SQLite database, understood (`guess`, `mapping`), judged row by row (`cells`, `judge`), compared
with what is stored (`daily`) and with what PostgreSQL then holds (`profit`, `parity`).

Nobody knows what another person's bot meant. So nothing is mended and nothing is dropped: each row is loaded, is there
already, is left out for better data, or is rejected with its rowid, the rule and the value that broke it.
"""
