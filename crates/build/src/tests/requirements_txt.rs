//! Requirements files: what is read, and what is refused by name.

use insta::assert_snapshot;

use super::{Folder, answer, open, options, target, told};
use crate::{
    fetch::{Silent, fetch},
    resolve::{Digester, requirements_txt::read},
    testing::{Fault, TestIndex, WheelBuilder},
};

fn check(files: &[(&str, &str)]) -> String {
    let folder = Folder::new();
    for (name, text) in files {
        folder.write(name, text);
    }
    let text = match read(&folder.path().join(files[0].0)) {
        Ok(asked) => {
            let mut lines = Vec::new();
            for line in &asked.requirements.lines {
                lines.push(format!("{}  [{}]", line.text, line.origin));
            }
            for line in &asked.constraints.lines {
                lines.push(format!("constraint {}  [{}]", line.text, line.origin));
            }
            for hashes in &asked.hashes {
                lines.push(format!("hashes {} {} [{}]", hashes.package, hashes.digests.len(), hashes.origin));
            }
            for file in &asked.remote {
                lines.push(format!("{file:?}"));
            }
            lines.extend(asked.notes.iter().map(|note| format!("note {note}")));
            if asked.pre {
                lines.push("pre".to_owned());
            }
            if asked.require_hashes {
                lines.push("hashes required".to_owned());
            }
            lines.push(format!("{:?}", asked.indexes));
            lines.join("\n")
        }
        Err(error) => told(&error),
    };
    text.replace(folder.path().as_str(), "[FOLDER]")
}

#[test]
fn everything_that_is_supported_is_read() {
    let digest = "a".repeat(64);
    let main = format!(
        "\u{feff}# a comment\n\
         pandas >=1, <2  # another\n\
         requests[socks]==2.0 ; python_version < \"3.8\"\n\
         numpy==1.0 \\\n    --hash=sha256:{digest} \\\n    --hash sha256:{digest}\n\
         -r sub/more.txt\n\
         --constraint=bounds.txt\n\
         --require-hashes\n\
         --only-binary :all:\n\
         -i https://user:pw@index.example/simple\n\
         --extra-index-url=https://extra.example/simple\n"
    );
    let files = [
        ("requirements.txt", main.as_str()),
        ("sub/more.txt", "six\n-r ../requirements.txt\n-r third.txt"),
        ("sub/third.txt", "\n\nattrs  #egg"),
        ("bounds.txt", "six<2\n-r inner.txt"),
        ("inner.txt", "urllib3<3"),
    ];
    assert_snapshot!(check(&files), @r#"
    pandas >=1, <2  [requirements.txt:2]
    requests[socks]==2.0 ; python_version < "3.8"  [requirements.txt:3]
    numpy==1.0  [requirements.txt:4]
    six  [sub/more.txt:1]
    attrs  [sub/third.txt:3]
    constraint six<2  [bounds.txt:1]
    constraint urllib3<3  [inner.txt:1]
    hashes numpy 2 [requirements.txt:4]
    hashes required
    IndexSettings { index_url: Some("https://index.example/simple"), extra_index_urls: ["https://extra.example/simple"], find_links: [], no_index: false }
    "#);
}

#[test]
fn addresses_and_options_are_read() {
    let main = format!(
        "-e ./my-lib\n\
         my_lib[fast] @ ./my-lib ; python_version > '3.8'\n\
         ./wheels/local-1-py3-none-any.whl --hash=sha512:{}\n\
         app @ https://user:pw@x.example/app-1-py3-none-any.whl\n\
         git+https://x.example/repo@main#subdirectory=lib\n\
         -f wheels\n\
         --find-links=https://x.example/links\n\
         --no-index\n\
         --no-binary numpy\n\
         --only-binary=:all:\n\
         --prefer-binary\n\
         --pre\n\
         -r https://user:pw@x.example/more.txt\n\
         -c https://x.example/bounds.txt\n",
        "a".repeat(128)
    );
    let files = [
        ("requirements.txt", main.as_str()),
        ("my-lib/pyproject.toml", ""),
        ("wheels/local-1-py3-none-any.whl", ""),
    ];
    assert_snapshot!(check(&files), @r#"
    file://[FOLDER]/my-lib  [requirements.txt:1]
    my-lib[fast] @ file://[FOLDER]/my-lib ; python_full_version >= '3.9'  [requirements.txt:2]
    file://[FOLDER]/wheels/local-1-py3-none-any.whl  [requirements.txt:3]
    app @ https://user:pw@x.example/app-1-py3-none-any.whl  [requirements.txt:4]
    git+https://x.example/repo@main#subdirectory=lib  [requirements.txt:5]
    hashes local 1 [requirements.txt:3]
    RemoteFile { url: "https://x.example/more.txt", origin: "requirements.txt:13", is_constraints: false }
    RemoteFile { url: "https://x.example/bounds.txt", origin: "requirements.txt:14", is_constraints: true }
    note requirements.txt:1: `-e` has no meaning in a layer: the folder is built and copied as it is now
    pre
    IndexSettings { index_url: None, extra_index_urls: [], find_links: ["[FOLDER]/wheels", "https://x.example/links"], no_index: true }
    "#);
}

#[test]
fn what_is_not_supported_is_named() {
    let mut table = String::new();
    for line in [
        "-e .nowhere",
        "--trusted-host x.example",
        "--use-feature=x",
        "--config-settings x=y",
        "./missing.whl",
        "https://x.example/a",
        "app @ file:///nowhere/a",
        "svn+https://x.example/a",
        "six --global-option=x",
        "six --config-settings=x=y",
        "six --hash=md5:abc",
        "six --hash=sha256:abc",
        "six --hash=abc",
        "six=1",
        "-r missing.txt",
    ] {
        let told = check(&[("requirements.txt", line)]);
        table.push_str(told.lines().next().unwrap_or_default());
        table.push('\n');
    }
    assert_snapshot!(table, @r#"
    error: there is no `[FOLDER]/.nowhere` (requirements.txt:1)
    error: requirements.txt:1 uses the option `--trusted-host`, which is not supported: what comes over a connection that nobody vouches for may be anything; name the host's certificate in SSL_CERT_FILE
    error: requirements.txt:1 uses the option `--use-feature`, which is not supported
    error: requirements.txt:1 uses the option `--config-settings`, which is not supported: builds take no options; give a wheel that was built with them
    error: there is no `[FOLDER]/missing.whl` (requirements.txt:1)
    error: `https://x.example/a` (requirements.txt:1) is not a requirement: Expected direct URL (`https://x.example/a`) to end in a supported file extension: `.whl`, `.tar.gz`, `.zip`, `.tar.bz2`, `.tar.lz`, `.tar.lzma`, `.tar.xz`, `.tar.zst`, `.tar`, `.tbz`, `.tgz`, `.tlz`, or `.txz`
    error: there is no `/nowhere/a` (requirements.txt:1)
    error: `svn+https://x.example/a` (requirements.txt:1) is not a requirement: Unsupported URL prefix `svn` in URL: `svn+https://x.example/a` (Subversion is not supported)
    error: requirements.txt:1 uses the option `--global-option`, which is not supported: builds take no options; give a wheel that was built with them
    error: requirements.txt:1 uses the option `--config-settings`, which is not supported: builds take no options; give a wheel that was built with them
    error: requirements.txt:1 uses a hash by md5, which is not supported
    error: `--hash=sha256:abc` (requirements.txt:1) is not a requirement: `abc` is no sha256: 64 hexadecimal digits are expected
    error: requirements.txt:1 uses a hash without its algorithm, which is not supported
    error: `six=1` (requirements.txt:1) is not a requirement: no such comparison operator "=", must be one of ~= == != <= >= < > ===
    error: cannot read the requirements file `[FOLDER]/missing.txt`
    "#);
}

#[test]
fn a_file_by_url_is_read_with_what_it_includes() {
    let wheels = ["app", "lib", "more", "other"].map(|name| WheelBuilder::new(name, "1"));
    let index = TestIndex::builder()
        .wheel(&wheels[0])
        .wheel(&WheelBuilder::new("app", "2"))
        .wheel(&wheels[1])
        .wheel(&wheels[2])
        .wheel(&wheels[3])
        .text("main.txt", "app\n-r sub/more.txt\n-c bounds.txt\n")
        .text("sub/more.txt", "more\n-r ../main.txt")
        .text("bounds.txt", "app<2")
        .text("index.txt", "-i https://x.example/simple")
        .text("local.txt", "./app")
        .start();
    let resolve = |name: &str, offline: bool| {
        let (folder, cache) = (Folder::new(), Folder::new());
        let text = format!("lib\n-r {}", index.at(&format!("/text/{name}")));
        let asked = read(&folder.write("requirements.txt", &text)).expect("it is readable");
        let mut options = options(&cache, &index);
        options.offline = offline;
        answer(&open(options), &asked, "python3.12").replace(&index.at(""), "[INDEX]")
    };
    assert_snapshot!(resolve("main.txt", false), @r"
    app-1-py3-none-any.whl
    lib-1-py3-none-any.whl
    more-1-py3-none-any.whl
    ");
    assert_snapshot!(resolve("main.txt", true), @r"
    error: the requirements file [INDEX]/text/main.txt (requirements.txt:2) cannot be used: the network is off
    hint: download it, look at it, and give it as a file
    ");
    assert_snapshot!(resolve("index.txt", false), @r"
    error: the requirements file [INDEX]/text/index.txt (requirements.txt:2) cannot be used: it names package indexes, which count only in a file of your own
    hint: download it, look at it, and give it as a file
    ");
    assert_snapshot!(resolve("local.txt", false), @r"
    error: the requirements file [INDEX]/text/local.txt (requirements.txt:2) cannot be used: there is no `/app` ([INDEX]/text/local.txt:1)
    hint: download it, look at it, and give it as a file
    ");
    assert_snapshot!(resolve("nothing.txt", false), @r"
    error: the requirements file [INDEX]/text/nothing.txt (requirements.txt:2) cannot be used: the server answered 404
    hint: download it, look at it, and give it as a file
    ");
}

#[test]
fn hashes_and_constraints_hold() {
    let (old, new) = (WheelBuilder::new("app", "1"), WheelBuilder::new("app", "2"));
    let index = TestIndex::serving(&[old.clone(), new.clone()]);
    let resolve = |text: &str| {
        let (folder, cache) = (Folder::new(), Folder::new());
        folder.write("bounds.txt", "app<2");
        let asked = read(&folder.write("requirements.txt", text)).expect("it is readable");
        match open(options(&cache, &index)).resolve(&asked, target("python3.12")) {
            Ok(resolution) => resolution.wheels[0].filename.clone(),
            Err(error) => told(&error),
        }
    };
    assert_snapshot!(resolve("app"), @"app-2-py3-none-any.whl");
    assert_snapshot!(resolve("app\n-c bounds.txt"), @"app-1-py3-none-any.whl");
    assert_snapshot!(resolve(&format!("app --hash=sha256:{}", new.sha256())), @"app-2-py3-none-any.whl");
    assert_snapshot!(resolve(&format!("app --hash=sha256:{}", old.sha256())), @"app-1-py3-none-any.whl");
    assert_snapshot!(resolve(&format!("app==2 --hash=sha256:{}", "a".repeat(64))), @r"
    error: `app-2-py3-none-any.whl` has sha256 b1a43d73c530318663d1aef0726ea7601c91c705c171a2ae0c95d486d9bc206d, which no `--hash` of `app` (requirements.txt:1) allows
    hint: the lines were locked for another target: add the hash after you have checked the wheel, or remove the hashes
    ");
    assert_snapshot!(resolve("app==2\n--require-hashes"), @r"
    error: `--require-hashes` is on, and no line gives a hash for `app==2`
    hint: add `app==2 --hash=sha256:…`, or take `--require-hashes` out
    ");
}

/// The line that allows a wheel by SHA-512.
fn by_sha512(wheel: &WheelBuilder) -> String {
    let mut digester = Digester::new();
    digester.update(&wheel.bytes());
    format!("{} --hash={}", wheel.name(), digester.finish().1[2])
}

#[test]
fn a_hash_that_the_index_does_not_give_is_computed() {
    let (one, two) = (WheelBuilder::new("app", "1"), WheelBuilder::new("app", "2"));
    let resolve = |index: &TestIndex, text: &str| {
        let (folder, cache) = (Folder::new(), Folder::new());
        let asked = read(&folder.write("requirements.txt", text)).expect("it is readable");
        let index = open(options(&cache, index));
        let answer = answer(&index, &asked, "python3.12");
        if !answer.starts_with("error") {
            let resolution = index.resolve(&asked, target("python3.12")).expect("it was found before");
            assert_eq!(fetch(&index, &resolution, &Silent).expect("it is sound").files.len(), 1);
        }
        answer
    };
    let with_sha256 = TestIndex::serving(std::slice::from_ref(&one));
    assert_snapshot!(resolve(&with_sha256, &by_sha512(&one)), @"app-1-py3-none-any.whl");
    assert_snapshot!(resolve(&with_sha256, &by_sha512(&two).replace("app", "app==1")), @r"
    error: `app-1-py3-none-any.whl` has sha512 4ca2e1ea3e796a304ad6738cff42fef960fc3e12163708335484a15f0b054d71b168570c64228fd513629e2e580716f1d63c7be7ef29ef625039637e3ab20286, which no `--hash` of `app` (requirements.txt:1) allows
    hint: the lines were locked for another target: add the hash after you have checked the wheel, or remove the hashes
    ");
    let with_sha512 =
        TestIndex::builder().faulty(&one, &[Fault::OnlySha512]).faulty(&two, &[Fault::OnlySha512]).start();
    assert_snapshot!(resolve(&with_sha512, &by_sha512(&one)), @"app-1-py3-none-any.whl");
}

#[test]
fn hashes_choose_between_the_files_of_a_version() {
    let plain = WheelBuilder::new("app", "1").tags("py3-none-any");
    let native = WheelBuilder::new("app", "1").tags("cp312-cp312-manylinux_2_17_x86_64");
    let index = TestIndex::serving(&[plain.clone(), native.clone()]);
    let resolve = |text: &str| {
        let (folder, cache) = (Folder::new(), Folder::new());
        let asked = read(&folder.write("requirements.txt", text)).expect("it is readable");
        answer(&open(options(&cache, &index)), &asked, "python3.12")
    };
    assert_snapshot!(resolve("app==1"), @"app-1-cp312-cp312-manylinux_2_17_x86_64.whl");
    assert_snapshot!(resolve(&format!("app==1 --hash=sha256:{}", plain.sha256())), @"app-1-py3-none-any.whl");
}
