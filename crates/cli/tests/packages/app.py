"""Runs the handlers of the packages that the event names, and tells what each of them said.

The event is {"packages": [[module, distribution], ...]}. The answer has for each module "ok" and the
version, or the traceback.
"""
import importlib
import os
import sys
import traceback

try:
    from importlib import metadata
except ImportError:  # Python 3.6 and 3.7
    metadata = None


def lambda_handler(event, context):
    answers = {}
    for module, distribution in event["packages"]:
        try:
            importlib.import_module(module).handler({}, context)
            answers[module] = "ok " + installed_version(distribution)
        except BaseException:
            answers[module] = traceback.format_exc()
    return answers


def installed_version(name):
    """The version of a distribution, once everything that it says of itself is true."""
    folder, lines = record_of(name)
    paths = [line.rsplit(",", 2)[0].strip('"') for line in lines]
    assert paths, "RECORD of {} is empty".format(name)
    missing = [path for path in paths if is_in_site_packages(path) and not os.path.exists(os.path.join(folder, path))]
    assert not missing, "RECORD of {} lists what is not there: {}".format(name, missing[:5])
    if metadata is None:
        with open(os.path.join(folder, record_path(paths)[: -len("RECORD")] + "METADATA"), encoding="utf-8") as file:
            return next(line for line in file if line.startswith("Version: ")).split()[1]
    files = metadata.files(name)
    assert files and all(file.locate().exists() for file in files if is_in_site_packages(str(file))), name
    assert list(metadata.distribution(name).entry_points) is not None
    assert metadata.metadata(name)["Version"] == metadata.version(name)
    return metadata.version(name)


def record_of(name):
    """The folder that a distribution lies in, and the lines of its RECORD."""
    wanted = name.lower().replace("-", "_")
    for folder in sys.path:
        for entry in os.listdir(folder) if os.path.isdir(folder) else []:
            if entry.endswith(".dist-info") and entry.split("-")[0].lower().replace(".", "_") == wanted:
                with open(os.path.join(folder, entry, "RECORD"), encoding="utf-8") as file:
                    return folder, file.read().splitlines()
    raise AssertionError("there is no RECORD of " + name)


def record_path(paths):
    return next(path for path in paths if path.endswith(".dist-info/RECORD"))


def is_in_site_packages(path):
    """Commands lie elsewhere, and a wheel's own RECORD names them where the wheel has them."""
    return not path.startswith("../") and ".data/" not in path.split("dist-info")[0]
