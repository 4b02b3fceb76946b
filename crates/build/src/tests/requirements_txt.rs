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
    assert_snapshot!(check(&files), @"");
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
    assert_snapshot!(table, @"");
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
    assert_snapshot!(resolve("main.txt", false), @"");
    assert_snapshot!(resolve("main.txt", true), @"");
    assert_snapshot!(resolve("index.txt", false), @"");
    assert_snapshot!(resolve("local.txt", false), @"");
    assert_snapshot!(resolve("nothing.txt", false), @"");
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
    assert_snapshot!(resolve(&format!("app==2 --hash=sha256:{}", "a".repeat(64))), @"");
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
    let with_sha256 = TestIndex::serving(&[one.clone()]);
    assert_snapshot!(resolve(&with_sha256, &by_sha512(&one)), @"");
    assert_snapshot!(resolve(&with_sha256, &by_sha512(&two).replace("app", "app==1")), @"");
    let with_sha512 = TestIndex::builder()
        .faulty(&one, &[Fault::OnlySha512])
        .faulty(&two, &[Fault::OnlySha512])
        .start();
    assert_snapshot!(resolve(&with_sha512, &by_sha512(&one)), @"");
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
    assert_snapshot!(resolve("app==1"), @"");
    assert_snapshot!(resolve(&format!("app==1 --hash=sha256:{}", plain.sha256())), @"");
}
