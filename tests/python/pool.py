"""A pool: five tasks on four worker processes."""

import os
import time
from multiprocessing import Pool


def run(task):
    print(f"task {task} runs in pid {os.getpid()}\n", end="", flush=True)
    time.sleep(0.2)
    print(f"task {task} is done\n", end="", flush=True)


if __name__ == "__main__":
    print(f"pid {os.getpid()}: I am the parent\n", end="", flush=True)
    pool = Pool(4)
    for task in range(5):
        pool.apply_async(run, args=(task,))
    print("waiting for all tasks\n", end="", flush=True)
    pool.close()
    pool.join()
    print("all tasks are done\n", end="", flush=True)
