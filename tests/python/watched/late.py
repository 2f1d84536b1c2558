"""Few processes that say more than a page can show, and one that comes after that."""

import os

for _ in range(4):
    if os.fork() == 0:
        for number in range(3000):
            os.write(1, b"%d\n" % number)
        os._exit(0)
for _ in range(4):
    os.wait()
if os.fork() == 0:
    os._exit(0)
os.wait()
