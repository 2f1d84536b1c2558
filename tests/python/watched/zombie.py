"""Wrong: nobody waits for the child."""

import os
import time

if os.fork() == 0:
    os._exit(0)
time.sleep(0.2)
