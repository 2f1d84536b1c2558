"""Wrong: two threads take two locks in opposite orders."""

import signal
import threading

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word
left, right = threading.Lock(), threading.Lock()
both = threading.Barrier(2)


def take(first, second):
    with first:
        both.wait()
        with second:
            print("never")


threading.Thread(target=take, args=(left, right), daemon=True).start()
thread = threading.Thread(target=take, args=(right, left), daemon=True)
thread.start()
thread.join()
