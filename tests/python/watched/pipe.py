"""Wrong: the child keeps the pipe's other end open, so its input never ends."""

import os
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word
reader, writer = os.pipe()
if os.fork() == 0:
    while os.read(reader, 1):
        pass
    os._exit(0)
os.write(writer, b"x")
os.close(writer)
os.wait()
