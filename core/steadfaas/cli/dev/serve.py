"""The program that serves an ASGI application: `serve.py BASE MODULE:APP PORT`, run in a snapshot.

It needs uvicorn or hypercorn where it runs, which may be another environment than that of
steadfaas: it is started by its path and imports nothing of steadfaas. Alone, it tells which of the
two it found.

Whatever leads to the folder that is being worked on (an editable install, say) leads to the
snapshot instead: a module that is imported late is then still that of the version.
"""

import os
import sys

_GRACE = "2"


def main() -> None:
    """Serve until told to stop."""
    sys.path.pop(0)  # the folder of this file
    from importlib.util import find_spec

    server = next((name for name in ("uvicorn", "hypercorn") if find_spec(name)), "")
    if len(sys.argv) < 4:
        print(server)
        return
    base, application, port = sys.argv[1:]
    code = os.getcwd()
    sys.path[:] = [code, *(_inside(place, base, code) for place in sys.path)]
    where = {
        "uvicorn": [
            *("--host", "127.0.0.1", "--port", port),
            *("--log-level", "warning", "--no-access-log"),
            *("--timeout-graceful-shutdown", _GRACE),
        ],
        "hypercorn": [
            *("--bind", f"127.0.0.1:{port}"),
            *("--log-level", "WARNING", "--graceful-timeout", _GRACE),
        ],
    }
    import runpy

    sys.argv = [server, application, *where[server]]
    runpy.run_module(server, run_name="__main__", alter_sys=True)


def _inside(place: str, base: str, code: str) -> str:
    """The place to import from, or its counterpart in the snapshot if there is one."""
    path = os.path.realpath(place or base)
    if path != base and not path.startswith(base + os.sep):
        return place
    counterpart = os.path.normpath(os.path.join(code, os.path.relpath(path, base)))
    return counterpart if os.path.isdir(counterpart) else place


if __name__ == "__main__":
    main()
