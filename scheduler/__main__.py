"""`python -m scheduler`: the command line."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python has put the working directory first; a file in it must not take the place of a module.
        del sys.path[0]
    from scheduler.cli import main

    sys.exit(main())
