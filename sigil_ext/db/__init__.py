"""The database: embedded server, connections, migrations, and the two stores behind `rules.ports.Store`.

Never here: decisions about trades (rules), printing, Jesse. Read `connection.py` first, then `postgres_store.py`.
"""
