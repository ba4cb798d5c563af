"""Books, market, lease and signals in memory: for simulations by the thousand, and wherever nothing need survive.

They implement the same ports as the PostgreSQL doors, and the same tests hold both to the same answers. What lies in a
`Disk` survives the doors over it: a simulated process that dies loses its doors, and its successor opens new ones.
"""
