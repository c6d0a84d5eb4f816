"""`just newcomer`: what pages show, typed in an empty Debian container; or the walks NAMED of it."""

from __future__ import annotations

import sys

from tests.compose.base_images import base_images
from tests.compose.engine import CACHE, NoEngineError, docker_engine
from tests.newcomer.container import CLONE, empty_debian
from tests.newcomer.walking import Walker
from tests.newcomer.walks import WALKS


def main() -> int:
    named = sys.argv[1:] or list(WALKS)
    unknown = [name for name in named if name not in WALKS]
    if unknown:
        print(f"no walk {unknown[0]}; one of: {', '.join(WALKS)}", file=sys.stderr)
        return 2
    try:
        with docker_engine(CACHE) as engine:
            image = base_images(engine)["PYTHON_IMAGE"]
            with empty_debian(engine, image) as container, container.terminal() as terminal:
                walker = Walker(container, terminal)
                for name in named:
                    print(f"== {name}", flush=True)
                    walker.walk(WALKS[name])
                size = container.run("du", "-sm", f"{CLONE}/.venv").split()[0]
                print(f"{size} MB in .venv")
    except NoEngineError as error:
        print(error, file=sys.stderr)
        return 2
    if walker.failed:
        print(f"failed: {walker.failed}", file=sys.stderr)
    return 1 if walker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
