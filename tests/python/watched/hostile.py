"""Names and texts that mean something to a browser."""

import ctypes
import os
import sys

print("</script><script>document.title='owned'</script>", flush=True)
print("<img src=x onerror=\"document.title='owned'\">", flush=True)
print("\u202eright to left\u202c \u05d0\u05d1 \x01\x1b[31m\x07 \u7ebf\u7a0b", flush=True)
sys.stdout.write("x" * 100_000 + "\n")
sys.stdout.flush()
if os.fork() == 0:
    ctypes.CDLL(None).prctl(15, b"</script><b>\"'", 0, 0, 0)
    os.write(1, b"named\n")
    os._exit(0)
os.wait()
