"""Control data: everything that is decided, declared or told (SQLite by default, PostgreSQL by URL)."""
