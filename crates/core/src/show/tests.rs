//! Zips made by hand, and what they cost.

use super::*;
use crate::contents::Distribution;

fn contents(files: &[(&str, u64, Option<usize>)], distributions: &[(&str, &str, &str)]) -> Contents {
    let files = files
        .iter()
        .map(|&(path, size, owner)| ContentFile {
            path: path.to_owned(),
            kind: if path.ends_with('/') { EntryKind::Folder } else { EntryKind::File },
            permissions: 0o644,
            size,
            packed_size: size / 4,
            crc32: 0,
            owner,
            elf: None,
            damage: None,
            points_to: None,
        })
        .collect();
    let distributions = distributions
        .iter()
        .map(|&(name, version, folder)| Distribution {
            name: name.to_owned(),
            version: version.to_owned(),
            folder: folder.to_owned(),
            requires_python: None,
            requires: Vec::new(),
        })
        .collect();
    Contents { files, distributions }
}

fn layer() -> Contents {
    contents(
        &[
            ("python/", 0, None),
            ("python/notes.txt", 40, None),
            ("python/numpy-2.3.0.dist-info/METADATA", 400, Some(0)),
            ("python/numpy.libs/libopenblas.so.0", 40_000, Some(0)),
            ("python/numpy/__init__.py", 4_000, Some(0)),
            ("python/numpy/__pycache__/__init__.cpython-312.pyc", 8_000, Some(0)),
            ("python/numpy/core/_x.so", 20_000, Some(0)),
            ("python/numpy/core/data.npy", 20_000, Some(0)),
            ("python/six.py", 800, Some(1)),
        ],
        &[("numpy", "2.3.0", "python/numpy-2.3.0.dist-info"), ("six", "", "python/six.egg-info")],
    )
}

fn costs(contents: &Contents, name: &str, zipped: u64) -> Costs {
    Costs::new(ZipTotals::new(name, zipped, Sha256::of(b""), contents), contents)
}

#[test]
fn a_zip_is_summed_up_by_package_kind_and_file() {
    let costs = costs(&layer(), "layer.zip", 24_000);
    let json = serde_json::to_string(&costs).expect("it is JSON");
    insta::assert_snapshot!(json.replace("},{", "},\n{").replace(":[{", ":[\n{"), @r#"
    {"format":1,"zip":{"name":"layer.zip","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","zipped":24000,"unzipped":93240,"files":8},"budget":{"unzipped_limit":262144000,"unzipped_fits":true,"direct_limit":52428800,"direct_fits":true},"packages":[
    {"name":"numpy","version":"2.3.0","root":"python","files":6,"unzipped":92400,"zipped":23100},
    {"name":"six","version":null,"root":"python","files":1,"unzipped":800,"zipped":200},
    {"name":null,"version":null,"root":null,"files":1,"unzipped":40,"zipped":10}],"kinds":[
    {"kind":"library","files":2,"unzipped":60000,"zipped":15000},
    {"kind":"data","files":2,"unzipped":20040,"zipped":5010},
    {"kind":"bytecode","files":1,"unzipped":8000,"zipped":2000},
    {"kind":"source","files":2,"unzipped":4800,"zipped":1200},
    {"kind":"metadata","files":1,"unzipped":400,"zipped":100}],"files":[
    {"path":"python/numpy.libs/libopenblas.so.0","package":"numpy","kind":"library","unzipped":40000,"zipped":10000},
    {"path":"python/numpy/core/_x.so","package":"numpy","kind":"library","unzipped":20000,"zipped":5000},
    {"path":"python/numpy/core/data.npy","package":"numpy","kind":"data","unzipped":20000,"zipped":5000},
    {"path":"python/numpy/__pycache__/__init__.cpython-312.pyc","package":"numpy","kind":"bytecode","unzipped":8000,"zipped":2000},
    {"path":"python/numpy/__init__.py","package":"numpy","kind":"source","unzipped":4000,"zipped":1000},
    {"path":"python/six.py","package":"six","kind":"source","unzipped":800,"zipped":200},
    {"path":"python/numpy-2.3.0.dist-info/METADATA","package":"numpy","kind":"metadata","unzipped":400,"zipped":100},
    {"path":"python/notes.txt","package":null,"kind":"data","unzipped":40,"zipped":10}]}
    "#);
}

#[test]
fn the_budget_is_lambdas() {
    let budget = |unzipped, zipped| costs(&contents(&[("x", unzipped, None)], &[]), "x.zip", zipped).budget;
    let fits = budget(limits::UNZIPPED_BYTES - 1, limits::ZIPPED_DIRECT_BYTES - 1);
    assert!(fits.unzipped_fits && fits.direct_fits);
    let too_large = budget(limits::UNZIPPED_BYTES, limits::ZIPPED_DIRECT_BYTES);
    assert!(!too_large.unzipped_fits && !too_large.direct_fits);
}

/// Prints a tree, indented.
fn told(tree: &Tree, node: usize, depth: usize) -> String {
    let mut text = String::new();
    for (child, node) in tree.children(node) {
        let kind = node.kind.map_or("", FileKind::text);
        let line = format!("{:depth$}{} {} {kind}", "", node.name, node.tally.unzipped, depth = depth * 2);
        text.push_str(line.trim_end());
        text.push('\n');
        text.push_str(&told(tree, child, depth + 1));
    }
    text
}

#[test]
fn the_tree_goes_from_packages_to_files() {
    let tree = Tree::new("layer.zip", &layer());
    assert_eq!(tree.nodes()[tree.root()].tally.unzipped, layer().unpacked_size());
    insta::assert_snapshot!(told(&tree, tree.root(), 0), @r"
    numpy 2.3.0 92400
      numpy 52000
        core 40000
          _x.so 20000 shared libraries
          data.npy 20000 data
        __pycache__ 8000
          __init__.cpython-312.pyc 8000 bytecode
        __init__.py 4000 sources
      numpy.libs 40000
        libopenblas.so.0 40000 shared libraries
      numpy-2.3.0.dist-info 400
        METADATA 400 metadata
    six 800
      six.py 800 sources
    no package 40
      python 40
        notes.txt 40 data
    ");
}

#[test]
fn a_path_of_a_thousand_folders_makes_few_nodes() {
    let path = format!("{}x", "a/".repeat(1000));
    let tree = Tree::new("deep.zip", &contents(&[(&path, 1, None)], &[]));
    assert_eq!(tree.nodes().len(), 27);
    assert_eq!(tree.nodes()[26].name.len(), 2 * (1000 - 24) + 1);
}

#[test]
fn packages_of_one_name_stay_apart() {
    let contents = contents(
        &[("a/x.py", 1, Some(0)), ("b/x.py", 1, Some(1))],
        &[("x", "1", "a/x-1.dist-info"), ("x", "1", "b/x-1.dist-info")],
    );
    let tree = Tree::new("two.zip", &contents);
    insta::assert_snapshot!(told(&tree, tree.root(), 0), @r"
    x 1 1
      x.py 1 sources
    x 1 1
      x.py 1 sources
    ");
}

#[test]
fn hostile_names_stay_names_in_the_page() {
    let hostile = "</script><img src=x onerror=alert(1)>&\u{2028}<!--%%SCRIPT%%";
    // So deep that the rest of the path, with the slash, is one name.
    let contents = contents(&[(&format!("{}{hostile}", "a/".repeat(24)), 10, None)], &[]);
    let name = "<b>\"%%DATA%%\".zip";
    let page = page(&costs(&contents, name, 100), &Tree::new(name, &contents));
    assert_eq!(page.matches("</script").count(), 2, "the page's own two");
    assert!(!page.contains("<img") && !page.contains("<b>"));
    assert_eq!(page.matches("<!").count(), 1, "only the doctype");
    let (_, rest) = page.split_once("id=\"data\">").expect("the data is there");
    let (json, _) = rest.split_once("</script>").expect("the data ends");
    let data: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    assert_eq!(data["nodes"][26][1], hostile);
    assert_eq!(data["zip"]["name"], name);
}

#[test]
fn the_page_needs_nothing_else_and_runs_its_own_script_only() {
    let page = page(&costs(&layer(), "layer.zip", 24_000), &Tree::new("layer.zip", &layer()));
    for outside in ["http:", "https:", "url(", "@import", "src=", "href=", "eval(", "innerHTML", "onclick=\""]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    let (_, script) = page.rsplit_once("<script>").expect("it has a script");
    let (script, _) = script.split_once("</script>").expect("it ends");
    let hash = Sha256::of(script.as_bytes()).to_base64();
    assert!(page.contains(&format!("script-src 'sha256-{hash}'")));
}

#[test]
fn the_data_of_the_page_is_what_the_script_expects() {
    let page = page(&costs(&layer(), "layer.zip", 24_000), &Tree::new("layer.zip", &layer()));
    let (_, rest) = page.split_once("id=\"data\">").expect("the data is there");
    let (json, _) = rest.split_once("</script>").expect("the data ends");
    insta::assert_snapshot!(json.replace("],[", "],\n["), @r#"
    {"zip":{"name":"layer.zip","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","zipped":24000,"unzipped":93240,"files":8},"budget":{"unzipped_limit":262144000,"unzipped_fits":true,"direct_limit":52428800,"direct_fits":true},"kinds":["shared libraries","bytecode","sources","metadata","data"],"nodes":[[0,"layer.zip"],
    [0,"no package"],
    [1,"python"],
    [2,"notes.txt",40,10,4],
    [0,"numpy 2.3.0"],
    [4,"numpy-2.3.0.dist-info"],
    [5,"METADATA",400,100,3],
    [4,"numpy.libs"],
    [7,"libopenblas.so.0",40000,10000,0],
    [4,"numpy"],
    [9,"__init__.py",4000,1000,2],
    [9,"__pycache__"],
    [11,"__init__.cpython-312.pyc",8000,2000,1],
    [9,"core"],
    [13,"_x.so",20000,5000,0],
    [13,"data.npy",20000,5000,4],
    [0,"six"],
    [16,"six.py",800,200,2]]}
    "#);
}
