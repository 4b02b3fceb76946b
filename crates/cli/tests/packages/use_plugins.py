"""What the packages of the test's own index bring beside code: it must be there on every profile."""
import importlib
import os
import pkgutil
import site
import sys
from importlib import metadata, resources

import plugin_host


def lambda_handler(event, context):
    points = [point for point in metadata.distribution("plugin-one").entry_points if point.group == "plugin_host"]
    assert sorted(point.name for point in points) == ["greet", "shout"]
    assert [plugin_host.call(point) for point in sorted(points)] == ["hello", "HELLO"]
    assert metadata.version("plugin-one") == "1.5" and metadata.requires("plugin-one") == ["plugin-host"]
    assert metadata.metadata("plugin-one")["Name"] == "plugin-one"
    assert metadata.distribution("plugin-one").read_text("top_level.txt") == "plugin_one\n"

    assert resources.read_text("plugin_one", "words.txt") == "hello\n"
    assert resources.read_text("plugin_one.templates", "page.html") == "<p>{}</p>\n"
    assert pkgutil.get_data("plugin_one", "templates/kernel.c") == b"int kernel;\n"
    folder = os.path.dirname(importlib.import_module("plugin_one").__file__)
    assert os.path.exists(os.path.join(folder, "tests", "sample.sql")), "no tests of Python: it is data"
    assert os.path.exists(os.path.join(folder, "py.typed"))

    from corp import one, two
    assert (one.WORD, two.WORD) == ("one", "two")
    assert getattr(sys.modules["corp"], "__file__", None) is None

    layer = next(path for path in sys.path if os.path.exists(os.path.join(path, "with_path.pth")))
    site.addsitedir(layer)
    assert importlib.import_module("by_path").WORD == "found"

    for name in ["plugin-host", "plugin-one", "corp-one", "corp-two", "with-path"]:
        files = metadata.files(name)
        # The wheels of the test have an empty RECORD; pruning writes it anew.
        assert files or event["profile"] == "faithful", name
        missing = [file for file in files or [] if not file.locate().exists()]
        assert not missing, (name, missing)
    if event["profile"] != "faithful":
        listed = {str(file) for file in metadata.files("plugin-one")}
        assert "plugin_one/words.txt" in listed and "plugin_one/inner/tests/test_plugin.py" not in listed
    return "ok"
