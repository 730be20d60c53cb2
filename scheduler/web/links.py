"""Links between the pages: relative ones, so that the view works under any prefix, also behind a proxy that strips it.

All pages lie in one folder, and ids are in the query: an id may contain slashes and dots, which proxies and browsers
change in paths.
"""

from urllib.parse import urlencode

from starlette.types import Scope


def path_of(scope: Scope) -> str:
    """Return the path of a request below the place where the view is mounted, such as `/tasks`."""
    path, root = scope["path"], scope.get("root_path", "")
    is_below = root and (path == root or path.startswith(f"{root}/"))
    return str(path[len(root) :] if is_below else path) or "/"


def base_of(scope: Scope) -> str:
    """Return what leads from the address of a request to the folder of the pages; empty for every page that exists."""
    return "../" * (path_of(scope).count("/") - 1)


def link(page: str, **query: object) -> str:
    """Return a relative link to a page; what is None or empty is left out of its query."""
    given = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return f"{page}?{urlencode(given)}" if given else page
