# Runs a command several times and prints what it took, as JSON: wall time, CPU time of the process
# and all its children, and the peak memory of its largest process.
import json
import os
import resource
import subprocess
import sys
import time

runs, prepare, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
taken = []
for _ in range(runs):
    if prepare:
        subprocess.check_call(prepare, shell=True)
    begun = time.perf_counter()
    with open(os.devnull, "w") as nothing:
        child = subprocess.Popen(command, stdout=nothing, stderr=subprocess.PIPE)
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    if status != 0:
        sys.stderr.write(said.decode("utf-8", "replace"))
        sys.exit("failed: " + " ".join(command))
    taken.append((wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024))
median = lambda column: sorted(run[column] for run in taken)[(len(taken) - 1) // 2]
print(json.dumps({"wall": median(0), "cpu": median(1), "memory": max(run[2] for run in taken)}))
