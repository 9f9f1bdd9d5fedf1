"""A study on disk and in its database: opened, shared, resumed."""
