"""PostgreSQL: an embedded server or any by DSN; schema, migrations, named SQL and the stores over them."""
