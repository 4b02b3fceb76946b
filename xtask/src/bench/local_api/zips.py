"""Makes the zips of `bench local-api` and takes the time of hashing and writing them.

Arguments: the folder. Prints JSON: for each zip its name, size, and the seconds that hashing it and
writing it to the disk takes, the median of five.
"""

import hashlib
import json
import os
import random
import sys
import time
import zipfile

folder = sys.argv[1]
chance = random.Random(4)


def library(size):
    """Bytes that pack as native code does: to about a third."""
    out = bytearray()
    words = [chance.randbytes(24) for _ in range(64)]
    while len(out) < size:
        out += chance.randbytes(1200)
        for _ in range(110):
            out += words[chance.randrange(64)]
    return bytes(out[:size])


def make(name, sizes):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        with zipfile.ZipFile(path + ".new", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number, size in enumerate(sizes):
                archive.writestr(zipfile.ZipInfo(f"python/p{number % 50}/m{number}.so"), library(size), zipfile.ZIP_DEFLATED)
        os.rename(path + ".new", path)
    return path


def measured(path):
    with open(path, "rb") as file:
        content = file.read()
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        hashlib.sha256(content).digest()
        with open(path + ".copy", "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        taken.append(time.perf_counter() - begun)
        os.remove(path + ".copy")
    return {"name": os.path.basename(path), "size": len(content), "seconds": sorted(taken)[2]}


SMALL = [12_000] * 1500
direct = make("direct.zip", SMALL + [1_500_000] * 60 + [20_000_000])
large = make("large.zip", SMALL + [1_500_000] * 80 + [60_000_000, 62_000_000])
print(json.dumps([measured(direct), measured(large)]))
