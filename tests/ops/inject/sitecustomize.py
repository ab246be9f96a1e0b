"""Loaded by every interpreter that a test starts with this folder on PYTHONPATH.

It makes one fault at a chosen moment, so that the product needs no code for tests. OPS_FAULT is
JSON: ``argv`` is text of the command line of the process that is meant; the moment is the
``count``-th audit event ``event`` whose arguments contain ``text``, or the ``count``-th call of
``call`` ("module:Class.function"). ``do`` is ``kill`` (this process and its whole group, as the
loss of a machine is), ``die`` (this process alone), ``wait`` (until the file ``go`` is in
``folder``) or ``fail`` (an OSError).
"""

import contextlib
import functools
import json
import os
import signal
import sys
import time


class Fault:
    def __init__(self, wanted):
        self.__dict__.update(wanted)
        self.seen = 0
        self.patched = not getattr(self, "call", "")

    def audit(self, event, arguments):
        if not self.patched:
            self.patch()
        if event == getattr(self, "event", "") and self.text in repr(arguments):
            self.met()

    def patch(self):
        module, _, path = self.call.partition(":")
        at = sys.modules.get(module)
        *owners, name = path.split(".")
        for owner in owners:
            at = getattr(at, owner, None)
        real = getattr(at, name, None)
        if real is None:  # not imported to its end
            return
        self.patched = True

        @functools.wraps(real)
        def called(*arguments, **named):
            self.met()
            return real(*arguments, **named)

        setattr(at, name, called)

    def met(self):
        self.seen += 1
        if self.seen != self.count:
            return
        try:  # once among all processes
            os.close(os.open(os.path.join(self.folder, "met"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        if self.do == "kill":
            os.killpg(0, signal.SIGKILL)
        if self.do == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.do == "fail":
            raise OSError(self.errno, os.strerror(self.errno))
        while not os.path.exists(os.path.join(self.folder, "go")):
            time.sleep(0.02)


with contextlib.suppress(KeyError):
    _wanted = json.loads(os.environ["OPS_FAULT"])
    if _wanted["argv"] in " ".join(sys.orig_argv):
        sys.addaudithook(Fault(_wanted).audit)
