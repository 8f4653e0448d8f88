"""Runs a command on a new terminal: pty.py COLUMNS ROWS COMMAND...

What comes on standard input is typed there, what the terminal shows goes to standard output.
Ends with the command, and with its exit status: 128 and the number of the signal if one ended it.
"""

import fcntl
import os
import signal
import struct
import sys
import termios
import threading


def copy(source, sink):
    """Copies until either end is closed."""
    try:
        while chunk := os.read(source, 65536):
            while chunk:
                chunk = chunk[os.write(sink, chunk):]
    except OSError:
        pass


def main(columns, rows, *command):
    terminal, inside = os.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
    child = os.fork()
    if child == 0:
        os.close(terminal)
        os.login_tty(inside)
        # Whoever runs the tests may ignore hangups, as nohup does.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error}")
            os._exit(127)
    os.close(inside)
    threading.Thread(target=copy, args=(0, terminal), daemon=True).start()
    copy(terminal, 1)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
