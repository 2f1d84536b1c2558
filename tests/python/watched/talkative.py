"""Forty processes that say more than a page can show."""

import os

for _ in range(40):
    if os.fork() == 0:
        for number in range(300):
            os.write(1, b"%d\n" % number)
        os._exit(0)
for _ in range(40):
    os.wait()
