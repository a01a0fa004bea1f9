"""
Become the command given, and be killed by the kernel when the parent dies.

Run as a program: `python -I -S die_with_parent.py PARENT_PID COMMAND ...`. It takes
the place of `preexec_fn`, which is not safe in a process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    _parent, _command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the call above took effect.
        if os.getppid() != _parent:
            sys.exit("the parent is gone")
    os.execv(_command[0], _command)
