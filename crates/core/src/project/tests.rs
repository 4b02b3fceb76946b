//! Projects: what they ask for, and what is refused.

use super::*;

/// What a project asks for with these extras and groups, each `+extra` or `group`.
fn check(text: &str, scope: &str) -> String {
    let mut wanted = Scope::default();
    for part in scope.split_whitespace() {
        match part.strip_prefix('+') {
            Some(extra) => wanted.extras.push(extra.to_owned()),
            None => wanted.groups.push(part.to_owned()),
        }
    }
    let read = || {
        let project = Project::parse(text)?;
        let mut lines = project.requirements("pyproject.toml", "/home/me/my app", &wanted)?.lines;
        lines.extend(project.constraints("pyproject.toml").lines);
        let mut told: Vec<_> = lines.iter().map(|line| format!("{}  ({})", line.text, line.origin)).collect();
        told.extend(project.indexes.iter().map(|index| format!("{index:?}")));
        Ok::<_, ProjectError>(told.join("\n"))
    };
    read().unwrap_or_else(|error| format!("error: {error}\nhint: {}", error.hint().unwrap_or_default()))
}

const SHOP: &str = r#"
    [project]
    name = "My.Shop"
    requires-python = ">=3.9"
    dependencies = ["pandas>=2", "tomli; python_version < '3.11'", "lib[x] @ https://x.example/lib-1.zip;v=1 ; os_name == 'posix'"]
    [project.optional-dependencies]
    Fast_er = ["orjson"]
    all = ["my-shop[fast.er] ; python_version >= '3.10'", "rich"]
    round = ["my_shop[round]", "six"]
    [dependency-groups]
    Test = ["pytest", {include-group = "lint"}]
    lint = ["ruff"]
    [tool.black]
    line-length = 1
"#;

#[test]
fn dependencies_extras_and_groups_are_asked_for() {
    insta::assert_snapshot!(check(SHOP, ""), @r"
    pandas>=2  (pyproject.toml [project])
    tomli ; python_version < '3.11'  (pyproject.toml [project])
    lib[x] @ https://x.example/lib-1.zip;v=1 ; os_name == 'posix'  (pyproject.toml [project])
    ");
    insta::assert_snapshot!(check(SHOP, "+all +ROUND test lint"), @r"
    pandas>=2  (pyproject.toml [project])
    tomli ; python_version < '3.11'  (pyproject.toml [project])
    lib[x] @ https://x.example/lib-1.zip;v=1 ; os_name == 'posix'  (pyproject.toml [project])
    orjson ; python_version >= '3.10'  (pyproject.toml [project.optional-dependencies] all)
    rich  (pyproject.toml [project.optional-dependencies] all)
    six  (pyproject.toml [project.optional-dependencies] round)
    pytest  (pyproject.toml [dependency-groups] test)
    ruff  (pyproject.toml [dependency-groups] test)
    ruff  (pyproject.toml [dependency-groups] lint)
    ");
}

#[test]
fn what_is_not_there_is_named() {
    insta::assert_snapshot!(check(SHOP, "+slow"), @r"
    error: it has no extra `slow`; there are all, fast-er, round
    hint: name one that is there
    ");
    insta::assert_snapshot!(check(SHOP, "docs"), @r"
    error: it has no dependency group `docs`; there are lint, test
    hint: name one that is there
    ");
    insta::assert_snapshot!(check("[project]\nname = 'x'\n", "docs"), @r"
    error: it has no dependency group `docs`
    hint: leave it out, or add it there
    ");
}

#[test]
fn groups_that_include_each_other_are_refused() {
    let text = "[dependency-groups]\na = [{include-group = 'b'}]\nb = [{include-group = 'C'}]\nc = [{include-group = 'b'}]\nbad = [3]";
    insta::assert_snapshot!(check(text.split("\nbad").next().unwrap_or_default(), "a"), @r"
    error: its dependency groups include each other: b → c → b
    hint: take one of the includes out (PEP 735 forbids cycles)
    ");
    insta::assert_snapshot!(check(text, "a"), @r#"
    error: its dependency group `bad` has an item that is neither a requirement nor `include-group`
    hint: write items as "pandas>=2" or {include-group = "other"} (PEP 735)
    "#);
}

#[test]
fn sources_become_addresses() {
    let text = r#"
        [project]
        name = "shop"
        dependencies = ["a>=1; python_version >= '3.9'", "b[x]", "c", "d"]
        [tool.uv.sources]
        a = { git = "https://git.example/a", tag = "v1", subdirectory = "py" }
        b = { path = "../b", editable = true }
        c = [{ url = "https://x.example/c-1-py3-none-any.whl" }]
        unused = { workspace = true }
    "#;
    insta::assert_snapshot!(check(text, ""), @r"
    a @ git+https://git.example/a@v1#subdirectory=py ; python_version >= '3.9'  (pyproject.toml [project])
    b[x] @ file:///home/me/my%20app/../b  (pyproject.toml [project])
    c @ https://x.example/c-1-py3-none-any.whl  (pyproject.toml [project])
    d  (pyproject.toml [project])
    ");
}

#[test]
fn uvs_table_counts_or_is_refused_by_name() {
    let with = |uv: &str| check(&format!("[project]\nname = 's'\ndependencies = ['a']\n{uv}"), "");
    insta::assert_snapshot!(with("[tool.uv]\nconstraint-dependencies = ['b<2']\n[[tool.uv.index]]\nname = 'own'\nurl = 'https://own.example/simple'\n[[tool.uv.index]]\nurl = 'https://main.example/simple'\ndefault = true\n[[tool.uv.index]]\nname = 'gpu'\nurl = 'https://gpu.example'\nexplicit = true\n"), @r#"
    a  (pyproject.toml [project])
    b<2  (pyproject.toml [tool.uv] constraint-dependencies)
    ProjectIndex { url: "https://own.example/simple", is_default: false }
    ProjectIndex { url: "https://main.example/simple", is_default: true }
    "#);
    let mut table = String::new();
    for uv in [
        "[tool.uv]\noverride-dependencies = ['b==1']",
        "[tool.uv]\noverride-dependencies = []\nno-index = false\npackage = false",
        "[tool.uv]\nprerelease = 'allow'",
        "[tool.uv]\nindex = 3",
        "[tool.uv.sources]\na = { index = 'gpu' }",
        "[tool.uv.sources]\na = { workspace = true }",
        "[tool.uv.sources]\na = { git = 'https://x', marker = \"os_name == 'nt'\" }",
        "[tool.uv.sources]\na = [{ index = 'a' }, { index = 'b' }]",
    ] {
        table.push_str(with(uv).lines().next().unwrap_or_default());
        table.push('\n');
    }
    insta::assert_snapshot!(table, @r"
    error: it uses `override-dependencies` of [tool.uv], which is not supported
    a  (pyproject.toml [project])
    error: it uses `prerelease` of [tool.uv], which is not supported
    error: it is not valid: [tool.uv]: invalid type: integer `3`, expected a sequence
    error: it uses an index of its own for `a` in [tool.uv.sources], which is not supported
    error: it uses a member of the workspace for `a` in [tool.uv.sources], which is not supported
    error: it uses `marker` for `a` in [tool.uv.sources], which is not supported
    error: it uses several sources for `a` in [tool.uv.sources], which is not supported
    ");
}

#[test]
fn what_is_no_project_is_refused_with_the_next_step() {
    insta::assert_snapshot!(check("[tool.poetry.dependencies]\nx = '1'\n", ""), @r"
    error: it has no `[project]` table; `[tool.poetry]` is that tool's own format
    hint: export it with `poetry export -o requirements.txt` and build with `-r requirements.txt`
    ");
    insta::assert_snapshot!(check("[build-system]\n", ""), @r"
    error: it has no `[project]` table
    hint: list the dependencies in `[project]`, or in a requirements file given with -r
    ");
    insta::assert_snapshot!(check("[project]\nname = 'x'\ndynamic = ['dependencies', 'version']\n", ""), @r"
    error: its `dependencies` are dynamic: only the project's build backend knows them
    hint: export them with the project's own tool (`uv export -o requirements.txt`) and build with -r, or lock the project and build from its lock
    ");
    insta::assert_snapshot!(check("[project]\nname = 'x'\n\ndependencies = 'a'\n", ""), @r#"
    error: it is not valid (line 4): invalid type: string "a", expected a sequence
    hint: correct it there
    "#);
}

#[test]
fn nesting_and_repetition_are_bounded() {
    let mut text = "[project]\nname = \"p\"\n[project.optional-dependencies]\n".to_owned();
    for level in 0..60 {
        let next = level + 1;
        text.push_str(&format!(
            "e{level} = [\"p[e{next}]; os_name == 'a'\", \"p[e{next}]; os_name == 'b'\"]\n"
        ));
    }
    text.push_str("e60 = [\"x\"]\n");
    assert!(check(&text, "+e0").starts_with("error: its extras and groups include more than"));
    let mut text = "[dependency-groups]\n".to_owned();
    for level in 0..5_000 {
        text.push_str(&format!("g{level} = [{{include-group = \"g{}\"}}]\n", level + 1));
    }
    text.push_str("g5000 = []\n");
    assert!(check(&text, "g0").starts_with("error: its extras and groups include more than"));
    let deep = format!("x = {}", "[".repeat(100_000));
    assert!(check(&deep, "").starts_with("error: it is not valid"), "{}", check(&deep, ""));
}
