# Starts the runtime client with a debugger attached: waits for one at a port of this machine, then
# goes on as always. It runs before the client and leaves nothing behind but debugpy itself.
import os
import runpy
import sys

program, port = sys.argv[1:3]
sys.argv[:] = [program]
sys.path[0] = os.path.dirname(program)
task = os.environ.get("LAMBDA_TASK_ROOT", "/var/task")
opt = os.environ.get("_LAYERCAKE_OPT", "/opt")
library = "%s/python/lib/python%d.%d/site-packages" % ((opt,) + sys.version_info[:2])
# The client puts these in by itself, and in its own way.
own, sys.path[:0] = list(sys.path), [task, library, opt + "/python"]
# Only the standard library is frozen, and its modules are seldom what is looked into.
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
import debugpy

debugpy.listen(("127.0.0.1", int(port)))
debugpy.wait_for_client()
sys.path[:] = own
runpy.run_path(program, run_name="__main__")
