//! A small shared library for tests, made byte by byte.
//!
//! Owns the sample's layout, which is that of a library that patchelf has changed: headers, names
//! and versions in one loaded segment, the dynamic section in a second, symbols and debug sections
//! behind them, and a third segment appended at the end.

/// How much further in memory than in the file the appended segment lies.
const APPENDED_DISTANCE: u64 = 0x40_0000;

/// What the sample library has in it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) soname: &'static str,
    pub(super) needed: &'static [&'static str],
    pub(super) run_path: &'static str,
    pub(super) versions: &'static [(&'static str, &'static [&'static str])],
    /// Bytes of the debug section between the second and the third segment.
    pub(super) debug: usize,
    /// Whether the third segment is there.
    pub(super) appended: bool,
    /// The alignment of the first two segments.
    pub(super) alignment: u64,
    /// More sections that are not loaded: name, kind, content.
    pub(super) extra: &'static [(&'static str, u32, &'static [u8])],
    /// One more program header: kind, offset, address, size in the file, alignment.
    pub(super) segment: Option<[u64; 5]>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            soname: "libsample.so.1",
            needed: &["libm.so.6", "libc.so.6"],
            run_path: "$ORIGIN/../sample.libs:$ORIGIN",
            versions: &[("libm.so.6", &["GLIBC_2.29"]), ("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.14"])],
            debug: 0x5000,
            appended: true,
            alignment: 0x1_0000,
            extra: &[],
            segment: None,
        }
    }
}

/// A section on its way into the table.
struct Row {
    name: &'static str,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
}

/// Names, each ended by a zero byte; answers where a name begins.
#[derive(Default)]
struct NameTable(Vec<u8>);

impl NameTable {
    fn add(&mut self, name: &str) -> u64 {
        if self.0.is_empty() {
            self.0.push(0);
        }
        let at = self.0.len() as u64;
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        at
    }
}

impl Sample {
    /// The file. Sections 1 to 7 are `.dynstr`, `.gnu.version_r`, `.dynamic`, `.bss`, `.comment`,
    /// `.debug_info` and `.symtab`.
    pub(super) fn build(&self) -> Vec<u8> {
        let mut names = NameTable::default();
        let mut entries: Vec<(u64, u64)> = self.needed.iter().map(|name| (1, names.add(name))).collect();
        entries.push((14, names.add(self.soname)));
        entries.push((29, names.add(self.run_path)));
        let versions = self.version_table(&mut names);

        let mut bytes = vec![0; 0x400];
        let names_at = bytes.len() as u64;
        bytes.extend_from_slice(&names.0);
        pad(&mut bytes, 16);
        let versions_at = bytes.len() as u64;
        bytes.extend_from_slice(&versions);
        pad(&mut bytes, 0x40);
        let second = bytes.len() as u64;
        // The second segment lies one alignment further in memory than in the file, as linkers do.
        let second_address = second + self.alignment;
        entries.extend([(5, names_at), (10, names.0.len() as u64), (0x6fff_fffe, versions_at)]);
        entries.extend([(0x6fff_ffff, self.versions.len() as u64), (0, 0)]);
        for (tag, value) in &entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let second_size = bytes.len() as u64 - second;
        let alloc =
            |name, kind, address, offset, size| Row { name, kind, flags: 2, address, offset, size, link: 0 };
        let mut rows = vec![
            alloc("", 0, 0, 0, 0),
            alloc(".dynstr", 3, names_at, names_at, names.0.len() as u64),
            Row {
                link: 1,
                ..alloc(".gnu.version_r", 0x6fff_fffe, versions_at, versions_at, versions.len() as u64)
            },
            Row { link: 1, ..alloc(".dynamic", 6, second_address, second, second_size) },
            alloc(".bss", 8, second_address + second_size, bytes.len() as u64, 0x9000),
        ];
        rows[0].flags = 0;
        let plain = [
            (".comment", 1, &b"GCC: (GNU) 14.2.1\0"[..]),
            (".debug_info", 1, &[]),
            (".symtab", 2, &[0x53; 96]),
        ];
        for (name, kind, content) in plain.into_iter().chain(self.extra.iter().copied()) {
            let offset = bytes.len() as u64;
            bytes.extend_from_slice(content);
            if name == ".debug_info" {
                bytes.extend((0..self.debug).map(|index| (index % 251) as u8 | 1));
            }
            let size = bytes.len() as u64 - offset;
            rows.push(Row { flags: 0, ..alloc(name, kind, 0, offset, size) });
        }
        let mut segments = vec![
            [1, 0, 0, second - 0x10, self.alignment],
            [1, second, second_address, second_size, self.alignment],
            [2, second, second_address, second_size, 8],
            [0x6474_e551, 0, 0, 0, 16],
        ];
        if self.appended {
            pad(&mut bytes, 0x1000);
            let offset = bytes.len() as u64;
            let address = APPENDED_DISTANCE + offset;
            bytes.extend((0..0x180_u32).map(|index| (index % 200) as u8 + 50));
            rows.push(alloc(".note.appended", 7, address, offset, 0x180));
            segments.push([1, offset, address, 0x180, 0x1000]);
            segments.push([4, offset, address, 0x20, 4]);
        }
        segments.extend(self.segment);
        finish(bytes, &segments, rows)
    }

    fn version_table(&self, names: &mut NameTable) -> Vec<u8> {
        let mut table = Vec::new();
        for (index, (library, versions)) in self.versions.iter().enumerate() {
            let is_last = index + 1 == self.versions.len();
            let next = if is_last { 0 } else { 16 * (versions.len() as u32 + 1) };
            table.extend_from_slice(&1_u16.to_le_bytes());
            table.extend_from_slice(&(versions.len() as u16).to_le_bytes());
            table.extend([names.add(library) as u32, 16, next].map(u32::to_le_bytes).as_flattened());
            for (index, version) in versions.iter().enumerate() {
                let next = if index + 1 == versions.len() { 0 } else { 16 };
                table.extend([0, 0, names.add(version) as u32, next].map(u32::to_le_bytes).as_flattened());
            }
        }
        table
    }
}

fn pad(bytes: &mut Vec<u8>, multiple: usize) {
    bytes.resize(bytes.len().next_multiple_of(multiple), 0);
}

/// Adds the section table and fills in the headers.
fn finish(mut bytes: Vec<u8>, segments: &[[u64; 5]], mut rows: Vec<Row>) -> Vec<u8> {
    let mut names = NameTable::default();
    let mut name_offsets: Vec<_> = rows.iter().map(|row| names.add(row.name)).collect();
    name_offsets.push(names.add(".shstrtab"));
    let (offset, size) = (bytes.len() as u64, names.0.len() as u64);
    rows.push(Row { name: ".shstrtab", kind: 3, flags: 0, address: 0, offset, size, link: 0 });
    bytes.extend_from_slice(&names.0);
    pad(&mut bytes, 8);
    let sections_at = bytes.len() as u64;
    for (row, name) in rows.iter().zip(name_offsets) {
        bytes.extend([name as u32, row.kind].map(u32::to_le_bytes).as_flattened());
        bytes.extend([row.flags, row.address, row.offset, row.size].map(u64::to_le_bytes).as_flattened());
        bytes.extend([row.link, 0].map(u32::to_le_bytes).as_flattened());
        bytes.extend([1_u64, 0].map(u64::to_le_bytes).as_flattened());
    }
    for (index, [kind, offset, address, size, alignment]) in segments.iter().copied().enumerate() {
        let row = 0x40 + index * 56;
        // Kind and flags (readable) share eight bytes.
        let fields = [kind | 4 << 32, offset, address, address, size, size, alignment];
        bytes[row..row + 56].copy_from_slice(fields.map(u64::to_le_bytes).as_flattened());
    }
    bytes[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    bytes[16..24].copy_from_slice([3, 0, 62, 0, 1, 0, 0, 0].as_slice());
    bytes[32..48].copy_from_slice([0x40, sections_at].map(u64::to_le_bytes).as_flattened());
    let counts = [64, 56, segments.len() as u16, 64, rows.len() as u16, rows.len() as u16 - 1];
    bytes[52..64].copy_from_slice(counts.map(u16::to_le_bytes).as_flattened());
    bytes
}
