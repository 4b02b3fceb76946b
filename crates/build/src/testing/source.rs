//! Source distributions made in memory, with a build backend of their own that needs nothing.

use camino::Utf8Path;
use layercake_core::{
    hash::Sha256,
    zip::{FileMode, ZipWriter},
};

/// Makes a source distribution: `SourceBuilder::new("lib", "1.0").requires("six")`.
#[derive(Clone, Debug)]
pub struct SourceBuilder {
    name: String,
    version: String,
    tags: String,
    metadata: Vec<String>,
    build_requires: Vec<String>,
    files: Vec<(String, String)>,
    backend: String,
}

/// Builds a wheel of the project's one package. Python 3.6 and later.
const BACKEND: &str = r#"
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open("wheel-name") as file:
        filename = file.read()
    name, version = filename.split("-")[:2]
    info = "{}-{}.dist-info/".format(name, version)
    with zipfile.ZipFile(os.path.join(folder, filename), "w") as archive:
        def add(path, text):
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), text)
        for module in sorted(os.listdir(name)):
            with open(os.path.join(name, module)) as file:
                add(name + "/" + module, file.read())
        with open("metadata") as file:
            add(info + "METADATA", file.read())
        add(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        add(info + "RECORD", "")
    return filename
"#;

impl SourceBuilder {
    /// A project with one empty module, whose wheel runs everywhere.
    pub fn new(name: &str, version: &str) -> Self {
        let module = name.replace('-', "_");
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            tags: "py3-none-any".to_owned(),
            metadata: Vec::new(),
            build_requires: Vec::new(),
            files: vec![(format!("{module}/__init__.py"), String::new())],
            backend: BACKEND.to_owned(),
        }
    }

    /// A dependency, as in `Requires-Dist`.
    #[must_use]
    pub fn requires(mut self, requirement: &str) -> Self {
        self.metadata.push(format!("Requires-Dist: {requirement}"));
        self
    }

    /// Something that the build needs.
    #[must_use]
    pub fn build_requires(mut self, requirement: &str) -> Self {
        self.build_requires.push(requirement.to_owned());
        self
    }

    /// Other tags of the wheel that the build makes.
    #[must_use]
    pub fn tags(mut self, tags: &str) -> Self {
        tags.clone_into(&mut self.tags);
        self
    }

    /// One more file, or another text for one that is there.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.retain(|(other, _)| other != path);
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Python code that runs before the build does anything.
    #[must_use]
    pub fn backend_first(mut self, code: &str) -> Self {
        self.backend = self.backend.replacen("    with open", &format!("    {code}\n    with open"), 1);
        self
    }

    /// Normalised package name.
    pub fn name(&self) -> String {
        layercake_core::wheel::normalised_name(&self.name)
    }

    /// The archive's file name.
    pub fn filename(&self) -> String {
        format!("{}-{}.zip", self.name.replace('-', "_"), self.version)
    }

    /// The archive.
    ///
    /// # Panics
    /// When a file is too large for a zip.
    pub fn bytes(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Vec::new());
        let top = format!("{}-{}", self.name, self.version);
        for (path, text) in self.project() {
            zip.file_from_bytes(&format!("{top}/{path}"), FileMode::Regular, text.as_bytes())
                .expect("a vector takes every byte");
        }
        zip.finish().expect("a vector takes every byte").0
    }

    /// Hash of the archive.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes())
    }

    /// Writes the project into a folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_to(&self, folder: &Utf8Path) {
        for (path, text) in self.project() {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
    }

    fn project(&self) -> Vec<(String, String)> {
        let file_name = self.name.replace('-', "_");
        let metadata = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n{}\n",
            self.name,
            self.version,
            self.metadata.join("\n")
        );
        let pyproject = format!(
            "[build-system]\nrequires = {:?}\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
            self.build_requires
        );
        let mut files = self.files.clone();
        files.push(("pyproject.toml".to_owned(), pyproject));
        files.push(("backend.py".to_owned(), self.backend.clone()));
        files.push(("metadata".to_owned(), metadata));
        files.push(("wheel-name".to_owned(), format!("{file_name}-{}-{}.whl", self.version, self.tags)));
        files
    }
}
