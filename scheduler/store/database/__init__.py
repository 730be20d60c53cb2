"""Connections, transactions and dialects: everything that differs between SQLite and PostgreSQL."""
