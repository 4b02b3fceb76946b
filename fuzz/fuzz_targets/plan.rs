//! The planner on any wheels, policies and derived files.
//!
//! Laws: every file of every wheel is in the layer, or left out with a reason, or there as bytecode;
//! paths are unique and no file stands where a folder must; sums are right; the zip that the plan
//! describes can be written, has the length that was told, and is read back; its contents are those
//! that the plan told; parts of a split and layers for several runtimes keep the same laws; a second
//! plan is the same.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use layercake_core::{
    contents::Contents,
    derived::{DERIVED_FORMAT, Derivation, DerivedArchive, DerivedFiles},
    plan::{
        Bytecode, Given, LayerPlan, Layout, Policy, Profile, Source, fit::Lever, policy::Pattern,
        split::split,
    },
    target::Runtime,
    wheel::{Destination, WheelContents, destination, normalised_name},
    zip::{
        Archive, Entry, EntryHeader, EntryKind, Method, Packing, ReadLimits, ZipWriter, checksum, deflate,
        deflate_as, inflate, verify,
    },
};
use layercake_fuzz::{target, trees, wheel_of};
use libfuzzer_sys::fuzz_target;

/// What a layer is made of, with the bytes behind it.
struct Input {
    wheels: Vec<WheelContents>,
    bytes: Vec<Vec<u8>>,
    derived: Vec<DerivedFiles>,
    packs: BTreeMap<(usize, Derivation), Vec<u8>>,
}

fuzz_target!(|text: &[u8]| {
    let (before, trees) = trees(text);
    let options = before.first().copied().unwrap_or_default();
    let flags: [u8; 4] = std::array::from_fn(|number| options.get(number).copied().unwrap_or_default());
    let policy = policy(flags, &before);
    let mut input =
        Input { wheels: Vec::new(), bytes: Vec::new(), derived: Vec::new(), packs: BTreeMap::new() };
    for tree in trees.iter().take(4) {
        let Some((bytes, archive, facts)) = wheel_of(tree) else { continue };
        let name = normalised_name(&tree.name);
        input.add(WheelContents { name, version: tree.version.clone(), archive, facts }, bytes, flags[3]);
    }
    let imported = BTreeSet::from(["a.tests.b".to_owned(), String::new()]);
    let layout = if flags[1] & 16 == 0 { Layout::Python } else { Layout::SitePackages };
    let given = Given {
        target: target(flags[2]),
        wheels: &input.wheels,
        derived: &input.derived,
        policy: &policy,
        imported: &imported,
        layout,
    };
    let Ok(plan) = LayerPlan::new(&given) else { return };
    assert_eq!(LayerPlan::new(&given).as_ref(), Ok(&plan));
    check_complete(&plan, &given);
    check_zip(&plan, &input);
    let bare = Given { derived: &[], ..given };
    if let Ok(first) = LayerPlan::new(&bare) {
        check_complete(&first, &bare);
        assert_eq!(first.needed(&bare).len(), input.wheels.len());
    }
    let mut smaller = policy.clone();
    for lever in Lever::ALL {
        smaller = lever.pull(&smaller, flags[3] & 1 == 1).unwrap_or(smaller);
    }
    let smaller = Given { policy: &smaller, ..given };
    if let Ok(plan) = LayerPlan::new(&smaller) {
        check_complete(&plan, &smaller);
    }
    for count in 2..=5 {
        let parts = split(&plan, count).expect("two to five are layers");
        let mut files: Vec<_> = parts.iter().flat_map(|part| part.plan.files.iter().cloned()).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(files, plan.files);
    }
    let several = [6, 12].map(|minor| {
        let runtime = Runtime::from_minor(minor).expect("a runtime");
        let target = layercake_core::target::Target { runtime, ..given.target };
        LayerPlan::new(&Given { target, layout: Layout::SitePackages, ..given })
    });
    if let [Ok(one), Ok(other)] = several {
        let joined = LayerPlan::joined(vec![one.clone(), other.clone()]);
        assert_eq!(joined.files.len(), one.files.len() + other.files.len());
        assert_eq!(joined.unzipped_size(), one.unzipped_size() + other.unzipped_size());
        assert!(joined.files.windows(2).all(|pair| pair[0].path < pair[1].path));
    }
});

fn policy(flags: [u8; 4], lines: &[&[u8]]) -> Policy {
    let mut policy =
        Policy::of([Profile::Lean, Profile::Smallest, Profile::Faithful][usize::from(flags[0] % 3)]);
    match flags[0] >> 4 {
        1 => policy.bytecode = Bytecode::None,
        2 => policy.bytecode = Bytecode::Beside,
        3 => policy.bytecode = Bytecode::Only,
        _ => {}
    }
    policy.strip ^= flags[1] & 1 == 1;
    policy.pack_hard ^= flags[1] & 2 == 2;
    policy.optional_parts_out = flags[1] & 4 == 4;
    policy.docstrings_out ^= flags[1] & 8 == 8;
    for line in lines.iter().map(|line| String::from_utf8_lossy(line)) {
        let pattern = |prefix: &str| line.strip_prefix(prefix).and_then(|text| text.parse::<Pattern>().ok());
        policy.keep.extend(pattern("++ "));
        policy.drop.extend(pattern("-- "));
    }
    policy
}

impl Input {
    /// Adds a wheel with what was derived from it.
    fn add(&mut self, wheel: WheelContents, bytes: Vec<u8>, flags: u8) {
        let mut derived = DerivedFiles::default();
        for (derivation, flag) in
            [(Derivation::Bytecode, 1), (Derivation::Stripped, 2), (Derivation::Repacked, 4)]
        {
            if flags & flag == 0 {
                continue;
            }
            let (mut entries, mut pack) = (Vec::new(), Vec::new());
            for entry in wheel.archive.entries.iter().filter(|entry| entry.kind == EntryKind::File) {
                let whole = inflate(&bytes, entry).expect("what was written unpacks");
                let is_library = wheel.facts.libraries.contains_key(&entry.path);
                let (method, packed, unpacked) = match derivation {
                    Derivation::Bytecode if entry.path.ends_with(".py") && entry.crc32 % 4 != 0 => {
                        let code = [&b"code"[..], &whole].concat();
                        (Method::Stored, code.clone(), code)
                    }
                    Derivation::Stripped if is_library => {
                        (Method::Stored, b"less".to_vec(), b"less".to_vec())
                    }
                    Derivation::Repacked if !is_library && !whole.is_empty() => {
                        let (method, packed) = deflate_as(&whole, Packing::Hard);
                        (method, packed, whole)
                    }
                    _ => continue,
                };
                let start = pack.len();
                pack.extend(packed);
                let (crc32, size) = (checksum(&unpacked), unpacked.len() as u64);
                entries.push(Entry { method, crc32, size, data: start..pack.len(), ..entry.clone() });
            }
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            let size = pack.len() as u64;
            let (format, pack_name, left_alone) = (DERIVED_FORMAT, String::new(), BTreeMap::new());
            let archive = DerivedArchive { format, pack: pack_name, size, entries, left_alone };
            derived.set(derivation, archive);
            self.packs.insert((self.wheels.len(), derivation), pack);
        }
        self.wheels.push(wheel);
        self.bytes.push(bytes);
        self.derived.push(derived);
    }
}

/// Where an entry's file lies in the layer.
fn place(given: &Given<'_>, path: &str) -> String {
    let folder = given.layout.folder(given.target.runtime);
    match destination(path) {
        Destination::SitePackages(below) => format!("{folder}{below}"),
        Destination::Scripts(name) => format!("{folder}bin/{name}"),
        Destination::Headers => format!("{folder}{path}"),
    }
}

fn check_complete(plan: &LayerPlan, given: &Given<'_>) {
    assert!(plan.files.windows(2).all(|pair| pair[0].path < pair[1].path), "paths are unique and sorted");
    let files: BTreeMap<&str, _> = plan.files.iter().map(|file| (file.path.as_str(), file)).collect();
    for path in files.keys() {
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        assert!(above.into_iter().all(|folder| !files.contains_key(folder)), "{path} lies below a file");
    }
    let excluded: BTreeSet<_> = plan.excluded.iter().map(|file| (file.wheel, file.path.as_str())).collect();
    for (number, wheel) in given.wheels.iter().enumerate() {
        for (index, entry) in wheel.archive.entries.iter().enumerate() {
            // A layer needs no entries for folders.
            if entry.kind != EntryKind::File {
                continue;
            }
            let path = place(given, &entry.path);
            let is_in = files.get(path.as_str()).is_some_and(|file| match &file.source {
                Source::Wheel(entry) => file.wheel == number && *entry == index,
                Source::Derived(derivation, derived) => {
                    let archive = given.derived[file.wheel].archive(*derivation).expect("it was derived");
                    file.wheel == number && archive.entries[*derived].path == entry.path
                }
                // RECORD is written anew.
                Source::Text(_) => path.ends_with(".dist-info/RECORD"),
            });
            assert!(is_in || excluded.contains(&(number, path.as_str())), "{path} of wheel {number} is lost");
        }
    }
    for (number, wheel) in plan.wheels.iter().enumerate() {
        let own: Vec<_> = plan.files.iter().filter(|file| file.wheel == number).collect();
        assert_eq!(wheel.files, own.len() as u64);
        assert_eq!(wheel.unzipped, own.iter().map(|file| file.size).sum::<u64>());
        assert_eq!(wheel.packed, own.iter().map(|file| file.packed_size).sum::<u64>());
    }
    let tallies = plan.excluded_by_reason();
    assert_eq!(tallies.values().map(|tally| tally.files).sum::<u64>(), plan.excluded.len() as u64);
    let json = serde_json::to_vec(plan).expect("a plan has a form");
    assert_eq!(serde_json::from_slice::<LayerPlan>(&json).expect("it is read back"), *plan);
}

/// Writes the layer as the builder does and reads it back.
fn check_zip(plan: &LayerPlan, input: &Input) {
    let mut writer = ZipWriter::new(Vec::new());
    for file in &plan.files {
        let text;
        let (entry, data) = match &file.source {
            Source::Wheel(number) => {
                let entry = &input.wheels[file.wheel].archive.entries[*number];
                (Some(entry), &input.bytes[file.wheel][entry.data.clone()])
            }
            Source::Derived(derivation, number) => {
                let archive = input.derived[file.wheel].archive(*derivation).expect("it was derived");
                let entry = &archive.entries[*number];
                (Some(entry), &input.packs[&(file.wheel, *derivation)][entry.data.clone()])
            }
            Source::Text(source) => {
                text = deflate(source.as_bytes());
                (None, &text.1[..])
            }
        };
        let (method, crc32) = match (entry, &file.source) {
            (None, Source::Text(source)) => (deflate(source.as_bytes()).0, checksum(source.as_bytes())),
            (entry, _) => entry.map(|entry| (entry.method, entry.crc32)).expect("it has an entry"),
        };
        let header = EntryHeader {
            path: &file.path,
            method,
            crc32,
            size: file.size,
            packed_size: file.packed_size,
            mode: file.mode,
        };
        assert_eq!(file.packed_size, data.len() as u64);
        writer.file(&header, data).expect("it is small");
    }
    let (zip, length) = writer.finish().expect("it is small");
    assert_eq!(length, plan.zip_size());
    let archive = match Archive::read(&zip, &ReadLimits::WHEEL) {
        Ok(archive) => archive,
        // The folder of the packages and the ending of bytecode may make a name too long that the
        // wheel could just have.
        Err(error) => {
            let is_long = |path: &str| path.len() > 4096 || path.split('/').any(|part| part.len() > 255);
            assert!(plan.files.iter().any(|file| is_long(&file.path)), "{error}");
            return;
        }
    };
    assert_eq!(archive.unpacked_size(), plan.unzipped_size());
    for entry in &archive.entries {
        assert_eq!(verify(&zip, entry), Ok(()));
    }
    let found =
        Contents::collect(&archive, |entry, most| layercake_core::zip::inflate_start(&zip, entry, most));
    let found = found.expect("it was verified");
    let told = plan.contents(&input.wheels, &input.derived);
    let files = |contents: &Contents| {
        let file = |file: &layercake_core::contents::ContentFile| {
            (file.path.clone(), file.permissions, file.size, file.packed_size, file.crc32)
        };
        contents.files.iter().map(file).collect::<Vec<_>>()
    };
    assert_eq!(files(&told), files(&found));
}
