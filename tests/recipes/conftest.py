"""What the recipes' tests share with others."""

from postgres import postgres_server, postgres_url  # noqa: F401 (fixtures)
