"""A thread is made from a function, started, joined."""

import os
import threading
import time


def count_to_five():
    name = threading.current_thread().name
    print(f"pid {os.getpid()}: {name} runs\n", end="", flush=True)
    for n in range(1, 6):
        print(f"{name} counts {n}\n", end="", flush=True)
        time.sleep(0.02)
    print(f"pid {os.getpid()}: {name} ends\n", end="", flush=True)


print(f"pid {os.getpid()}: the main thread runs\n", end="", flush=True)
thread = threading.Thread(target=count_to_five, name="LoopThread")
thread.start()
thread.join()
print(f"pid {os.getpid()}: the main thread ends\n", end="", flush=True)
