# Compiles modules for layercake, one after the other, for as long as its standard input is open.
#
# Frames in:  4 bytes length of the path, 4 bytes length of the source, 1 byte flags (1: leave out
#             docstrings), the path as tracebacks show it, the source.
# Frames out: 1 byte (0: bytecode follows, 1: a reason follows), 4 bytes length, the bytes.
# Numbers are little-endian. Runs on Python 3.6 and later.
#
# Each module is compiled in a child of its own, forked from this process in the same state every
# time: what `marshal` writes depends on which strings the process has interned before, and the same
# source must give the same bytes whatever was compiled earlier.
import sys

# The folder that this was started in holds nothing that belongs here.
sys.path[:] = [folder for folder in sys.path if folder]

import ast
import gc
import importlib.util
import marshal
import os
import struct
import warnings

# The earliest time a zip can hold, 1980-01-01, which every entry of a layer carries.
ZIP_TIME = 315532800
HASHES = sys.version_info >= (3, 7)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def header(source):
    if HASHES:
        # PEP 552: hash-based and not checked, so that neither time nor content is ever compared.
        return importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + struct.pack("<II", ZIP_TIME, len(source) & 0xFFFFFFFF)


def is_docstring(statement):
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    if sys.version_info >= (3, 8):
        return isinstance(value, ast.Constant) and isinstance(value.value, str)
    return isinstance(value, ast.Str)


def without_docstrings(source, path):
    tree = ast.parse(source, path)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and node.body and is_docstring(node.body[0]):
            if len(node.body) > 1 or isinstance(node, ast.Module):
                del node.body[0]
            else:
                node.body[0] = ast.copy_location(ast.Pass(), node.body[0])
    return tree


def compiled(source, path, flags):
    if flags & 1:
        source_or_tree = without_docstrings(source, path)
    else:
        source_or_tree = source
    code = compile(source_or_tree, path, "exec", dont_inherit=True, optimize=0)
    return header(source) + marshal.dumps(code)


def write_all(out, data):
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def child(out, source, path, flags):
    try:
        answer = b"\0" + compiled(source, path, flags)
    except BaseException as error:  # noqa: every failure is an answer
        answer = b"\1" + "{}: {}".format(type(error).__name__, error).encode("utf-8", "replace")
    write_all(out, answer)


def read_exactly(stream, size):
    data = stream.read(size)
    if len(data) != size:
        sys.exit(0)
    return data


def main():
    warnings.simplefilter("ignore")
    # A child lives for one module: collecting garbage would only copy the pages it shares.
    gc.disable()
    sys.setrecursionlimit(10000)
    frames = sys.stdin.buffer
    while True:
        path_length, source_length, flags = struct.unpack("<IIB", read_exactly(frames, 9))
        path = read_exactly(frames, path_length).decode("utf-8")
        source = read_exactly(frames, source_length)
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(readable)
            try:
                child(writable, source, path, flags)
            finally:
                os._exit(0)
        os.close(writable)
        parts = []
        while True:
            part = os.read(readable, 1 << 20)
            if not part:
                break
            parts.append(part)
        os.close(readable)
        _, status = os.waitpid(pid, 0)
        answer = b"".join(parts)
        if status != 0 or not answer:
            answer = b"\1the compiler ended with status " + str(status).encode("ascii")
        write_all(1, answer[:1] + struct.pack("<I", len(answer) - 1) + answer[1:])


if sys.argv[1:] == ["identity"]:
    sys.stdout.write(repr((sys.implementation.name, sys.version_info[:3], sys.version, importlib.util.MAGIC_NUMBER)))
else:
    main()
