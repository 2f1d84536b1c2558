"""Processes that say more than a page can show; the last ones begin after that.

talkative.py PROCESSES LINES LATE
"""

import os
import sys

processes, lines, late = map(int, sys.argv[1:])
for count, most in [(processes, lines), (late, 0)]:
    for _ in range(count):
        if os.fork() == 0:
            for number in range(most):
                os.write(1, b"%d\n" % number)
            os._exit(0)
    for _ in range(count):
        os.wait()
