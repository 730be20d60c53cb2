"""The commands, one file for each group; `scheduler.cli.app` lists them."""
