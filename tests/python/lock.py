"""Two threads, one balance, one lock: no update is lost."""

import threading

balance = 0
lock = threading.Lock()


def deposit_and_withdraw(amount):
    global balance
    for _ in range(100_000):
        with lock:
            balance = balance + amount
            balance = balance - amount


threads = [threading.Thread(target=deposit_and_withdraw, args=(n,)) for n in (5, 8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"balance: {balance}")
