"""CPython's pools for the benchmark: a line `WHAT N` on stdin, seconds on stdout."""

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

WORKERS = 4
BLOCK = b"7" * 65536


def increment(number):
    return number + 1


def same(block):
    return block


def start_and_stop():
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(increment, range(WORKERS), 1)
        pool.close()
        pool.join()


def pss_of_idle_workers():
    """In bytes, of one of them; not a time."""
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.map(increment, range(WORKERS), 1)
        sizes = []
        for child in multiprocessing.active_children():
            with open(f"/proc/{child.pid}/smaps_rollup") as lines:
                sizes += [int(line.split()[1]) for line in lines if line.startswith("Pss:")]
        return 1024 * sum(sizes) / len(sizes)


def main():
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool, ProcessPoolExecutor(
        WORKERS
    ) as executor:
        does = {
            "map": lambda n: sum(pool.map(increment, range(n), 1)),
            "map_default": lambda n: sum(pool.map(increment, range(n))),
            "imap_unordered": lambda n: sum(pool.imap_unordered(increment, range(n), 1)),
            "apply_async": lambda n: sum(
                [result.get() for result in [pool.apply_async(increment, (i,)) for i in range(n)]]
            ),
            "submit": lambda n: sum(
                [future.result() for future in [executor.submit(increment, i) for i in range(n)]]
            ),
            "blocks": lambda n: sum(
                len(block) for block in pool.imap_unordered(same, (BLOCK for _ in range(n)), 1)
            ),
            "start_and_stop": lambda n: [start_and_stop() for _ in range(n)],
        }
        for line in sys.stdin:
            what, n = line.split()
            if what == "pss":
                print(pss_of_idle_workers(), flush=True)
                continue
            start = time.perf_counter()
            does[what](int(n))
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    print(f"CPython {sys.version.split()[0]}", flush=True)
    main()
    sys.stdout.flush()
    os._exit(0)
