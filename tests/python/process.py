"""A process is made from a function and its argument, started, joined."""

import os
from multiprocessing import Process


def run_process(name):
    print(f"pid {os.getpid()}: running {name}\n", end="", flush=True)


if __name__ == "__main__":
    print(f"pid {os.getpid()}: I am the parent\n", end="", flush=True)
    process = Process(target=run_process, args=("test",))
    print("the child will start\n", end="", flush=True)
    process.start()
    process.join()
    print("the child has ended\n", end="", flush=True)
