"""Programs that are hard to follow: awkward.py NAME prints the same each time."""

import ctypes
import os
import platform
import signal
import sys
import threading
import time


def say(text):
    print(text, flush=True)


def wait_for(child, options=0):
    return os.waitpid(child, options)[1]


def exec_from_a_thread():
    threading.Thread(target=lambda: os.execvp("sh", ["sh", "-c", "echo executed; exit 3"])).start()
    time.sleep(60)


def main_thread_ends():
    def goes_on():
        time.sleep(0.02)
        say("the other thread ends")
        os._exit(4)

    threading.Thread(target=goes_on).start()
    exit_thread = {"x86_64": 60, "aarch64": 93}[platform.machine()]
    ctypes.CDLL(None).syscall(exit_thread, 0)


def signals():
    caught = set()
    sent = set()
    for number in sorted(signal.valid_signals()):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, lambda number, _: caught.add(number))
            os.kill(os.getpid(), number)
            sent.add(number)
    say(f"all {len(sent)} caught: {caught == sent}")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGRTMIN + 6, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGRTMIN + 6)
    say(f"killed by SIGRTMIN+{os.WTERMSIG(wait_for(child)) - signal.SIGRTMIN}")


def stops():
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        signal.pause()
    say(f"stopped: {os.WIFSTOPPED(wait_for(child, os.WUNTRACED))}")
    os.kill(child, signal.SIGCONT)
    say(f"goes on: {os.WIFCONTINUED(wait_for(child, os.WCONTINUED))}")
    os.kill(child, signal.SIGTERM)
    say(f"killed by {os.WTERMSIG(wait_for(child))}")


def sigchld_handled():
    reaped = []

    def reap(*_):
        try:
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                reaped.append(pid)
        except ChildProcessError:
            pass

    signal.signal(signal.SIGCHLD, reap)
    children = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0)
        children.append(child)
    while len(reaped) < len(children):
        time.sleep(0.001)
    say(f"reaped: {sorted(reaped) == sorted(children)}")


def sigchld_blocked():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    child = os.fork()
    if child == 0:
        os._exit(7)
    say(f"of the child: {signal.sigwaitinfo([signal.SIGCHLD]).si_pid == child}")
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    say(f"status {os.waitid(os.P_PID, child, os.WEXITED).si_status}")


def sigchld_ignored():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(3):
        if os.fork() == 0:
            os._exit(0)
    try:
        os.wait()
    except ChildProcessError as error:
        say(error.strerror)


def ends_while_others_spawn():
    def spawn():
        while True:
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)

    for _ in range(4):
        threading.Thread(target=spawn, daemon=True).start()
    time.sleep(0.02)
    os._exit(5)


def stops_beside_a_zombie():
    if os.fork() == 0:
        os._exit(0)
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    wait_for(child, os.WUNTRACED)
    os.kill(child, signal.SIGCONT)
    wait_for(child)


def timer():
    rings = []
    signal.signal(signal.SIGALRM, lambda *_: rings.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    while len(rings) < 50:
        time.sleep(0.01)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say("50 rings")


def many_threads():
    barrier = threading.Barrier(1001)
    threading.stack_size(128 * 1024)
    threads = [threading.Thread(target=barrier.wait) for _ in range(1000)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for thread in threads:
        thread.join()
    say("1000 threads at once")


globals()[sys.argv[1]]()
