"""Steps: thin Prefect tasks, each a policy around one operation."""
