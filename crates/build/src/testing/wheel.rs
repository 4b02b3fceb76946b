//! Wheels made in memory.

use layercake_core::{
    hash::Sha256,
    zip::{FileMode, ZipWriter},
};

/// Makes a wheel: `WheelBuilder::new("six", "1.17.0").requires("x>=2").file("six.py", "…")`.
#[derive(Clone, Debug)]
pub struct WheelBuilder {
    name: String,
    version: String,
    tags: String,
    requires: Vec<String>,
    extras: Vec<String>,
    requires_python: Option<String>,
    files: Vec<(String, Vec<u8>)>,
    raw: Option<Vec<u8>>,
}

impl WheelBuilder {
    /// A pure-Python wheel with one empty module.
    pub fn new(name: &str, version: &str) -> Self {
        let module = name.replace('-', "_");
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            tags: "py3-none-any".to_owned(),
            requires: Vec::new(),
            extras: Vec::new(),
            requires_python: None,
            files: vec![(format!("{module}/__init__.py"), Vec::new())],
            raw: None,
        }
    }

    /// Other tags, such as `cp312-cp312-manylinux_2_28_x86_64`.
    #[must_use]
    pub fn tags(mut self, tags: &str) -> Self {
        tags.clone_into(&mut self.tags);
        self
    }

    /// A dependency, as in `Requires-Dist`.
    #[must_use]
    pub fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    /// An extra, as in `Provides-Extra`.
    #[must_use]
    pub fn extra(mut self, name: &str) -> Self {
        self.extras.push(name.to_owned());
        self
    }

    /// The Python versions it is for, as in `Requires-Python`.
    #[must_use]
    pub fn requires_python(mut self, specifier: &str) -> Self {
        self.requires_python = Some(specifier.to_owned());
        self
    }

    /// One more file, or another text for one that is there.
    #[must_use]
    pub fn file(mut self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.files.retain(|(other, _)| other != path);
        self.files.push((path.to_owned(), contents.as_ref().to_owned()));
        self
    }

    /// These very bytes as the archive, whatever they are.
    #[must_use]
    pub fn raw(mut self, bytes: Vec<u8>) -> Self {
        self.raw = Some(bytes);
        self
    }

    /// Normalised package name.
    pub fn name(&self) -> String {
        layercake_core::wheel::normalised_name(&self.name)
    }

    /// The wheel's file name.
    pub fn filename(&self) -> String {
        format!("{}-{}-{}.whl", self.name.replace('-', "_"), self.version, self.tags)
    }

    /// `Requires-Python`, if it was set.
    pub(crate) fn python(&self) -> Option<&str> {
        self.requires_python.as_deref()
    }

    /// The text of `METADATA`.
    pub fn metadata(&self) -> String {
        let mut text = format!("Metadata-Version: 2.1\nName: {}\nVersion: {}\n", self.name, self.version);
        for (header, values) in [("Provides-Extra", &self.extras), ("Requires-Dist", &self.requires)] {
            for value in values {
                text.push_str(&format!("{header}: {value}\n"));
            }
        }
        if let Some(python) = &self.requires_python {
            text.push_str(&format!("Requires-Python: {python}\n"));
        }
        text
    }

    /// The archive.
    ///
    /// # Panics
    /// When a file is too large for a zip.
    pub fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut zip = ZipWriter::new(Vec::new());
        let mut add = |path: &str, bytes: &[u8]| {
            zip.file_from_bytes(path, FileMode::Regular, bytes).expect("a vector takes every byte");
        };
        for (path, contents) in &self.files {
            add(path, contents);
        }
        let info = format!("{}-{}.dist-info", self.name.replace('-', "_"), self.version);
        let tag_lines: String = self.tag_lines();
        add(&format!("{info}/METADATA"), self.metadata().as_bytes());
        add(
            &format!("{info}/WHEEL"),
            format!("Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{tag_lines}").as_bytes(),
        );
        add(&format!("{info}/RECORD"), b"");
        zip.finish().expect("a vector takes every byte").0
    }

    /// The archive without what makes it a wheel.
    ///
    /// # Panics
    /// When a file is too large for a zip.
    pub fn bytes_without_dist_info(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Vec::new());
        for (path, contents) in &self.files {
            zip.file_from_bytes(path, FileMode::Regular, contents).expect("a vector takes every byte");
        }
        zip.finish().expect("a vector takes every byte").0
    }

    /// Hash of the archive.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes())
    }

    fn tag_lines(&self) -> String {
        format!("Tag: {}\n", self.tags)
    }
}
