"""The half of a build that runs in its isolated environment.

Python 3.6 and later, standard library only. Reads a request, does one thing, writes the answer.
"""
import importlib
import json
import os
import shutil
import sys
import sysconfig
import zipfile


def install(request):
    """Unpacks the wheels that the build needs. They were verified when they entered the cache."""
    paths = sysconfig.get_paths()
    site, scripts = paths["purelib"], paths["scripts"]
    for wheel in request["wheels"]:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    for name in os.listdir(site):
        if not name.endswith(".data"):
            continue
        data = os.path.join(site, name)
        for kind in os.listdir(data):
            if kind in ("purelib", "platlib"):
                merge(os.path.join(data, kind), site)
            elif kind == "scripts":
                merge(os.path.join(data, kind), scripts)
        shutil.rmtree(data)
    for name in os.listdir(scripts):
        path = os.path.join(scripts, name)
        if os.path.isfile(path) and not os.path.islink(path):
            own_python(path)
            os.chmod(path, 0o755)


def own_python(path):
    """Lets a script of a wheel run with this environment's Python (PEP 427)."""
    with open(path, "rb") as script:
        content = script.read()
    if content.startswith(b"#!python"):
        _, _, rest = content.partition(b"\n")
        with open(path, "wb") as script:
            script.write(b"#!" + sys.executable.encode() + b"\n" + rest)


def merge(source, target):
    for folder, _, files in os.walk(source):
        into = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(into, exist_ok=True)
        for name in files:
            shutil.move(os.path.join(folder, name), os.path.join(into, name))


def backend(request):
    """Imports the build backend (PEP 517)."""
    for path in reversed(request["backend_path"]):
        sys.path.insert(0, os.path.join(request["project"], path))
    module, _, attributes = request["backend"].partition(":")
    found = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def requires(request):
    hook = getattr(backend(request), "get_requires_for_build_wheel", None)
    return list(hook({})) if hook else []


def wheel(request):
    return backend(request).build_wheel(request["folder"], {}, None)


def main():
    with open(sys.argv[1]) as file:
        request = json.load(file)
    # The folder of this file is no place to import from.
    del sys.path[0]
    if "project" in request:
        os.chdir(request["project"])
    answer = {"install": install, "requires": requires, "wheel": wheel}[request["do"]](request)
    with open(request["answer"], "w") as file:
        json.dump(answer, file)


main()
