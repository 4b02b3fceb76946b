//! `pyproject.toml` of any text: dependencies, extras, groups, uv's table.
//!
//! Laws: reading never panics; what is asked for is bounded, whatever includes what; asking twice
//! gives the same; credentials of indexes do not show.

#![no_main]

use layercake_core::{configuration::Configuration, lock::Scope, project::Project};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Configuration::of_project("pyproject.toml", text);
    let Ok(project) = Project::parse(text) else { return };
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let all = Scope {
        extras: own(project.extras().collect()),
        groups: own(project.groups().collect()),
        package: None,
    };
    let one = |extra: &str| Scope { extras: vec![extra.to_owned()], ..Scope::default() };
    let mut scopes = vec![Scope::default()];
    scopes.extend(all.extras.iter().take(3).map(|extra| one(extra)));
    scopes.push(all);
    for scope in scopes {
        let Ok(wanted) = project.requirements("pyproject.toml", "/a folder", &scope) else { continue };
        assert!(wanted.lines.len() <= 20_000);
        assert_eq!(project.requirements("pyproject.toml", "/a folder", &scope), Ok(wanted));
    }
    for index in &project.indexes {
        let Some((before, after)) = index.url.rsplit_once('@') else { continue };
        if before.len() > 30 && !after.contains(before) {
            assert!(!format!("{index:?}").contains(before));
        }
    }
    let _ = project.constraints("pyproject.toml");
});
