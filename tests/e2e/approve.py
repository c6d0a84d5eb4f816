"""The browser of a test person, as a program: `BROWSER="python -m tests.e2e.approve %s"`.

Approves the consent page and signs in as `admin` with the password in GATEWAY_PASSWORD.
"""

from __future__ import annotations

import asyncio
import os
import sys

from tests.conftest import Gateway, Person, browser_page


async def main(url: str) -> None:
    async with browser_page() as page:
        await Person(page, Gateway("", "", os.environ["GATEWAY_PASSWORD"])).approve(url)
        await page.wait_for_url("http://127.0.0.1:*/**")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
