//! Writes the seeds of the corpora: `cargo run --example seeds` in the folder `fuzz`, before the
//! first run. What the fuzzer finds on its own stays beside them, in `corpus`, and is not kept in the
//! repository.

use std::{fs, io, path::Path};

use layercake_core::zip::{FileMode, Packing, ZipWriter, deflate_as};
use layercake_fuzz::stripper_sample;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    };
    for (name, bytes) in zips()? {
        put("zip_read", name, &bytes)?;
    }
    for (name, appended, alignment) in [("linker", false, 12), ("patchelf", true, 12), ("wide", true, 16)] {
        let library = stripper_sample(0x40, appended, alignment, None);
        put("elf", name, &library)?;
    }
    let names = [
        "pandas-1.1.5-cp36-cp36m-manylinux1_x86_64.whl",
        "six-1.17.0-py2.py3-none-any.whl",
        "x-1.0-2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "Ruamel.Yaml_x--y",
    ];
    for (number, name) in names.into_iter().enumerate() {
        put("wheel_name", &number.to_string(), name.as_bytes())?;
    }
    for (target, name, text) in TEXTS {
        put(target, name, text.as_bytes())?;
    }
    Ok(())
}

fn zips() -> io::Result<Vec<(&'static str, Vec<u8>)>> {
    let archive = |files: &[(&str, FileMode, &[u8])]| {
        let mut writer = ZipWriter::new(Vec::new());
        for (path, mode, bytes) in files {
            writer.file_from_bytes(path, *mode, bytes)?;
        }
        writer.finish().map(|(bytes, _)| bytes)
    };
    let small = archive(&[
        ("a/__init__.py", FileMode::Regular, b"import a.tests.b\n"),
        ("a/x.so", FileMode::Executable, b"\x7fELF"),
        ("a-1.dist-info/WHEEL", FileMode::Regular, b"Wheel-Version: 1.0\n"),
        ("a-1.dist-info/METADATA", FileMode::Regular, b"Name: a\nVersion: 1\nRequires-Dist: b\n"),
        ("a-1.dist-info/RECORD", FileMode::Regular, b"a/__init__.py,,\n"),
    ])?;
    // A regular file's mode becomes that of a link.
    let file = (0o100_755_u32 << 16).to_le_bytes();
    let link = (0o120_777_u32 << 16).to_le_bytes();
    let mut linked = small.clone();
    if let Some(at) = linked.windows(4).position(|window| window == file) {
        linked[at..at + 4].copy_from_slice(&link);
    }
    let zeros = vec![0; 100_000];
    let mut commented = archive(&[("zeros", FileMode::Regular, &zeros), ("empty", FileMode::Regular, b"")])?;
    commented.extend(b"a comment");
    Ok(vec![
        ("small", small.clone()),
        ("linked", linked),
        ("commented", commented),
        ("behind_other_bytes", [&b"#!python\n"[..], &small].concat()),
        ("empty", archive(&[])?),
        ("zip64", zip64()),
        ("with_descriptor", with_descriptor()),
    ])
}

/// One empty file with ZIP64 records at the end (APPNOTE 4.3.14).
fn zip64() -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x2d\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0a".to_vec();
    let directory = bytes.len() as u64;
    bytes.extend(b"PK\x01\x02\x2d\x03\x2d\0\0\0\0\0\0\0\x21\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\x14\0\0\0\0\0\0\0\0\0\xa4\x81\0\0\0\0a");
    bytes.extend(b"\x01\0\x10\0");
    bytes.extend([0; 16]);
    let size = bytes.len() as u64 - directory;
    let end = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\x03\x2d\0\0\0\0\0\0\0\0\0");
    bytes.extend([1, 1, size, directory].map(u64::to_le_bytes).as_flattened());
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(end.to_le_bytes());
    bytes.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    bytes
}

/// One file whose sizes follow its data (APPNOTE 4.3.9).
fn with_descriptor() -> Vec<u8> {
    let (_, packed) = deflate_as(&[b'x'; 64], Packing::Normal);
    let crc = layercake_core::zip::checksum(&[b'x'; 64]).to_le_bytes();
    let sizes = [(packed.len() as u32).to_le_bytes(), 64_u32.to_le_bytes()].concat();
    let mut bytes = b"PK\x03\x04\x14\0\x08\0\x08\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0x".to_vec();
    bytes.extend(&packed);
    bytes.extend(b"PK\x07\x08");
    bytes.extend([&crc[..], &sizes].concat());
    let directory = bytes.len() as u32;
    bytes.extend(b"PK\x01\x02\x14\x03\x14\0\x08\0\x08\0\0\0\x21\0");
    bytes.extend([&crc[..], &sizes].concat());
    bytes.extend(b"\x01\0\0\0\0\0\0\0\0\0\0\0\xa4\x81\0\0\0\0x");
    let size = bytes.len() as u32 - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend([size, directory].map(u32::to_le_bytes).as_flattened());
    bytes.extend(b"\0\0");
    bytes
}

const LAYER: &str = "\
00
PYTHONPATH=/var/task
HANDLER=app.handler
## layer.zip 1
== python/a/__init__.py
import b
== python/a/_x.cpython-312-x86_64-linux-gnu.so
@elf
== python/a/__pycache__/__init__.cpython-312.pyc
code
== python/a-1.0.dist-info/METADATA
Metadata-Version: 2.1
Name: a
Version: 1.0
Requires-Python: >=3.9
Requires-Dist: b>=2; extra == 'x'

Text.
== python/a-1.0.dist-info/RECORD
a/__init__.py,sha256=x,9
\"a/a,b.py\",,
../../bin/run,,
=! python/bin/run
#!/usr/bin/python
== python/old.egg-info
Metadata-Version: 1.0
Name: old
=@ python/link
a/__init__.py
## code.zip 1
== app.py
def handler(event, context): pass
== numpy/__init__.py
== numpy-2.0.dist-info/top_level.txt
numpy
";

const WHEELS: &str = "\
00\x007
++ a/tests/keep.py
-- a/data
## numpy 2.2.6
== numpy/__init__.py
import numpy.tests.b
open('x.h')
== numpy/tests/__init__.py
== numpy/tests/b.py
from . import c
== numpy/tests/c.py
== numpy/tests/data.csv
1,2
== numpy/_core.pyx
== numpy/x.h
== numpy/x.pyi
== numpy/_core.so
@elf
== numpy/__pycache__/x.cpython-312.pyc
== numpy-2.2.6.dist-info/METADATA
Name: numpy
== numpy-2.2.6.dist-info/RECORD
== numpy-2.2.6.data/scripts/f2py
#!python
== numpy-2.2.6.data/purelib/numpy/pure.py
== numpy-2.2.6.data/headers/a.h
## other 1
== numpy/__init__.py
pass
== shared.py
";

const TEXTS: [(&str, &str, &str); 12] = [
    ("contents", "layer", LAYER),
    ("look", "layer", LAYER),
    ("look", "names", "11\n## <b>\"&</script> 1\n== python/<!--/</script>.py\n== python/%%DATA%%\n"),
    ("contents", "wheel", WHEELS),
    ("plan", "wheels", WHEELS),
    (
        "python_source",
        "script",
        "a/tests/b.py\nimport x\n# /// script\n# requires-python = \">=3.9\"\n# dependencies = [\n#   \"pandas<3\",\n# ]\n# ///\nfrom ..tests import (helper as h,\n other)\nopen('x.h'); f\"{x}.cu\"\ndef lambda_handler(event, context): pass\n",
    ),
    (
        "pylock",
        "lock",
        r#"lock-version = "1.0"
environments = ["sys_platform == 'linux'"]
requires-python = ">=3.9"
extras = ["x"]
dependency-groups = ["dev"]
default-groups = ["dev"]
created-by = "layercake"

[[packages]]
name = "A.b"
version = "1.0"
marker = "'x' in extras"
requires-python = ">=3.8"
dependencies = [{ name = "c", version = "2" }]
index = "https://index.example/simple"
sdist = { name = "a.tar.gz", upload-time = 2024-01-01T00:00:00.5Z, url = "https://files.example/a.tar.gz", size = 3, hashes = { sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" } }
wheels = [
    { url = "https://files.example/a_b-1.0%2Bl-py3-none-any.whl#x", hashes = { sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "odd name" = "" } },
]

[[packages]]
name = "c"
archive = { path = "./c.zip", subdirectory = "d", hashes = {} }

[[packages]]
name = "d"
directory = { path = "." }

[[packages]]
name = "e"
vcs = { type = "git", url = "https://git.example/e", requested-revision = "main", commit-id = "0123", subdirectory = "s" }

[tool.layercake]
targets = [{ runtime = "python3.12", arch = "arm64" }]
requirements = ["a-b", "c"]
constraints = ["e<2"]
"#,
    ),
    ("pylock", "least", "lock-version = \"1.0\"\n"),
    (
        "uv_lock",
        "lock",
        r#"version = 1
revision = 2
requires-python = ">=3.9"
resolution-markers = ["python_full_version >= '3.12'"]
conflicts = [[{ package = "a", extra = "x" }, { package = "a", group = "dev" }]]

[manifest]
members = ["a"]
requirements = [{ name = "b", marker = "sys_platform == 'linux'" }]

[[package]]
name = "a"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "b", extra = ["y"] }, { name = "d", marker = "extra == 'extra-1-a-x'" }]

[package.optional-dependencies]
a = [{ name = "c", version = "1" }]

[package.dev-dependencies]
dev = [{ name = "c" }]

[package.metadata]
provides-extras = ["a"]
requires-dev = { dev = [{ name = "c" }] }

[[package]]
name = "b"
version = "1.0"
source = { registry = "https://index.example/simple" }
resolution-markers = ["python_full_version >= '3.12'"]
sdist = { url = "https://files.example/b.tar.gz", hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", size = 3 }
wheels = [{ url = "https://files.example/b-1.0-py3-none-any.whl", hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }]

[package.optional-dependencies]
y = [{ name = "c" }]

[[package]]
name = "c"
version = "1"
source = { git = "https://git.example/c?subdirectory=s&rev=main#0123" }

[[package]]
name = "d"
version = "1"
source = { registry = "../index" }
wheels = [{ path = "d-1-py3-none-any.whl", hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }]
"#,
    ),
    (
        "project",
        "project",
        r#"[project]
name = "A.b"
requires-python = ">=3.9"
dependencies = ["pandas<3; sys_platform == 'linux'", "a-b[x]", "c"]
dynamic = ["version"]

[project.optional-dependencies]
x = ["d[e,f] ; extra == 'y'", "a_b[y,x]"]
y = ["g @ https://files.example/g.whl ; os_name == 'posix'"]

[dependency-groups]
dev = ["pytest", { include-group = "other" }]
other = ["h"]

[tool.uv]
index-url = "https://user:a-long-password@index.example/simple"
extra-index-url = ["https://index.example/other"]
constraint-dependencies = ["d<2"]
dev-dependencies = ["i"]

[[tool.uv.index]]
url = "https://index.example"
default = true

[tool.uv.sources]
c = { path = "../a folder/c" }
h = { git = "https://git.example/h", rev = "0123", subdirectory = "s" }
i = [{ url = "https://files.example/i.zip" }]

[tool.layercake]
profile = "smallest"
"#,
    ),
    (
        "configuration",
        "settings",
        "profile = 'smallest'\nkeep = ['a/**', 'b/[a-z]*']\ndrop = ['**/*.pyi', '{a,b}/c']\nbytecode = 'only'\nstrip = true\nfit = false\nbudget = '200MB'\nsplit = 2\nruntime = ['python3.12']\narch = 'arm64'\nextra = 'x'\ngroup = ['dev']\n",
    ),
    ("configuration", "lines", "200MiB\n1.5 kb\na/**/b\npython/a/\n"),
];
