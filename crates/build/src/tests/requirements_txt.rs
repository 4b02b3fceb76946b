//! Requirements files: what is read, and what is refused by name.

use insta::assert_snapshot;

use super::{Folder, open, options, target, told};
use crate::{
    resolve::requirements_txt::read,
    testing::{TestIndex, WheelBuilder},
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
                lines.push(format!("hashes {} {} [{}]", hashes.package, hashes.sha256.len(), hashes.origin));
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
    IndexSettings { index_url: Some("https://index.example/simple"), extra_index_urls: ["https://extra.example/simple"] }
    "#);
}

#[test]
fn what_is_not_supported_is_named() {
    let mut table = String::new();
    for line in [
        "-e .",
        "--editable ./x",
        "-f https://x.example/wheels",
        "--find-links=wheels",
        "--no-index",
        "--no-binary numpy",
        "--pre",
        "--trusted-host x.example",
        "--use-feature=x",
        "./local.whl",
        "https://x.example/a-1-py3-none-any.whl",
        "app @ https://user:pw@x.example/a-1-py3-none-any.whl",
        "app @ file:///tmp/a",
        "-r https://x.example/r.txt",
        "six --global-option=x",
        "six --hash=md5:abc",
        "six --hash=sha256:abc",
        "six=1",
        "-r missing.txt",
    ] {
        let told = check(&[("requirements.txt", line)]);
        table.push_str(told.lines().next().unwrap_or_default());
        table.push('\n');
    }
    assert_snapshot!(table, @r#"
    error: requirements.txt:1 uses the option `-e`, which is not supported
    error: requirements.txt:1 uses the option `--editable`, which is not supported
    error: requirements.txt:1 uses the option `-f`, which is not supported
    error: requirements.txt:1 uses the option `--find-links`, which is not supported
    error: requirements.txt:1 uses the option `--no-index`, which is not supported
    error: requirements.txt:1 uses the option `--no-binary`, which is not supported
    error: requirements.txt:1 uses the option `--pre`, which is not supported
    error: requirements.txt:1 uses the option `--trusted-host`, which is not supported
    error: requirements.txt:1 uses the option `--use-feature`, which is not supported
    error: requirements.txt:1 uses a requirement by file or URL, which is not supported
    error: requirements.txt:1 uses a requirement by file or URL, which is not supported
    error: requirements.txt:1 uses a requirement by URL for `app`, which is not supported
    error: requirements.txt:1 uses a requirement by URL for `app`, which is not supported
    error: requirements.txt:1 uses a requirements file by URL, which is not supported
    error: requirements.txt:1 uses the option `--global-option`, which is not supported
    error: requirements.txt:1 uses a hash by md5, which is not supported
    error: `--hash=sha256:abc` (requirements.txt:1) is not a requirement: `abc` is not a SHA-256: 64 hexadecimal digits are expected
    error: `six=1` (requirements.txt:1) is not a requirement: no such comparison operator "=", must be one of ~= == != <= >= < > ===
    error: cannot read the requirements file `[FOLDER]/missing.txt`
    "#);
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
    assert_snapshot!(resolve(&format!("app==2 --hash=sha256:{}", "a".repeat(64))), @r"
    error: `app-2-py3-none-any.whl` has sha256 b1a43d73c530318663d1aef0726ea7601c91c705c171a2ae0c95d486d9bc206d, which no `--hash` of `app` (requirements.txt:1) allows
    hint: the lines were locked for another target: add the hash after you have checked the wheel, or remove the hashes
    ");
    assert_snapshot!(resolve("app==2\n--require-hashes"), @r"
    error: `--require-hashes` is on, and no line gives a hash for `app==2`
    hint: add `app==2 --hash=sha256:…`, or take `--require-hashes` out
    ");
}
