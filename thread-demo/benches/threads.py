"""The same in Python: a line `WHAT N` on stdin, the seconds that N took on stdout."""

import os
import sys
import threading
import time


def nothing():
    pass


def thread(n):
    for _ in range(n):
        started = threading.Thread(target=nothing)
        started.start()
        started.join()


def process(n):
    for _ in range(n):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)


def answer(come_from, to):
    while byte := os.read(come_from, 1):
        os.write(to, byte)
    os.close(to)


def ping_pong(n):
    there, to_there = os.pipe()
    back, to_back = os.pipe()
    partner = threading.Thread(target=answer, args=(there, to_back))
    partner.start()
    for _ in range(n):
        os.write(to_there, b"x")
        os.read(back, 1)
    os.close(to_there)
    partner.join()
    os.close(there)
    os.close(back)


if len(sys.argv) > 1:
    os.sched_setaffinity(0, [int(sys.argv[1])])
print("CPython " + sys.version.split()[0], flush=True)
for line in sys.stdin:
    what, n = line.split()
    begin = time.perf_counter()
    {
        "thread": thread,
        "thread_two_stacks": thread,
        "process": process,
        "ping_pong": ping_pong,
    }[what](int(n))
    print(time.perf_counter() - begin, flush=True)
