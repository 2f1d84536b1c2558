"""Wrong: the parent asks again and again whether the child has ended."""

import os
import time

child = os.fork()
if child == 0:
    time.sleep(0.2)
    os._exit(0)
while os.waitpid(child, os.WNOHANG) == (0, 0):
    pass
