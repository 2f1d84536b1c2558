"""fork() is called once and returns twice."""

import os

# flush: what is in the buffer at the fork would be printed twice. \n in the
# text, not as its end: else text and newline are written one by one.
print(f"pid {os.getpid()}: about to fork\n", end="", flush=True)

child = os.fork()
if child == 0:
    print(f"pid {os.getpid()}: I am the child of pid {os.getppid()}\n", end="", flush=True)
    os._exit(0)

print(f"pid {os.getpid()}: I am the parent of pid {child}\n", end="", flush=True)
os.waitpid(child, 0)
print(f"pid {os.getpid()}: I have reaped my child\n", end="", flush=True)
