//! File names and endings that Python code names in string literals.
//!
//! A few packages read C, CUDA or stub files at run time, which most only carry along: thinc
//! compiles `_custom_kernels.cu` when it is imported, eccodes parses `grib_api.h`. What code may
//! read it must name, so what it names is kept.
//!
//! Reads Python as text; never runs it.

/// What a string literal names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// A file: the last part of a path.
    File(String),
    /// Every file of an ending: `.pyi`, `*.h`, `{name}.c`. Lower-case, without the dot.
    Ending(String),
}

/// Longer literals are texts, not paths.
const LONGEST_PATH: usize = 300;

/// What the string literals of this source name, of these endings (lower-case, without the dot).
pub fn named(source: &str, endings: &[&str]) -> Vec<Named> {
    literals(source).into_iter().filter_map(|literal| what_is_named(literal, endings)).collect()
}

fn what_is_named(literal: &str, endings: &[&str]) -> Option<Named> {
    if literal.len() > LONGEST_PATH || literal.contains(char::is_whitespace) {
        return None;
    }
    let file = literal.rsplit(['/', '\\']).next()?;
    let (stem, ending) = file.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    if !endings.contains(&ending.as_str()) {
        return None;
    }
    // The rest of the name is put in or matched at run time.
    let is_pattern = stem.is_empty() || stem.contains(|c: char| "*?[]{}%$".contains(c));
    Some(if is_pattern { Named::Ending(ending) } else { Named::File(file.to_owned()) })
}

/// The insides of all string literals, as they are written. Prefixes do not matter here.
fn literals(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['#', '"', '\'']) {
        rest = &rest[at..];
        if rest.starts_with('#') {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        }
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote));
        let quote = quote.unwrap_or("\"");
        let inside = &rest[quote.len()..];
        let end = end_of_literal(inside, quote);
        found.push(&inside[..end]);
        rest = inside[end..].strip_prefix(quote).unwrap_or(&inside[end..]);
    }
    found
}

/// Where the closing quote is; for a literal that is never closed, where the line or text ends.
fn end_of_literal(inside: &str, quote: &str) -> usize {
    let mut escaped = false;
    for (at, character) in inside.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if quote.len() == 1 => return at,
            _ if inside[at..].starts_with(quote) => return at,
            _ => {}
        }
    }
    inside.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str) -> String {
        named(source, &["cu", "h", "pyi"])
            .into_iter()
            .map(|named| match named {
                Named::File(name) => name,
                Named::Ending(ending) => format!(".{ending}"),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn files_and_endings_are_found() {
        assert_eq!(
            check("KERNELS = (Path(__file__).parent / '_custom_kernels.cu').read_text()\n"),
            "_custom_kernels.cu"
        );
        assert_eq!(check("pkgutil.get_data(__name__, \"grib_api.h\")"), "grib_api.h");
        assert_eq!(check("open(r'''lib/x.H''')"), "x.H");
        assert_eq!(check("if entry.endswith('.pyi'): glob('*.h'); f\"{name}.cu\""), ".pyi .h .cu");
        assert_eq!(check("x = f\"{a[\"b\"]}.h\""), ".h");
        assert_eq!(check("x = 'it\\'s'; y = 'z.h'"), "z.h");
    }

    #[test]
    fn comments_and_texts_name_nothing() {
        assert_eq!(check("# it's \"x.h\"\n\"\"\"Reads \"x.h\", see y.h\"\"\"\n'''\nx.h\n'''"), "");
        assert_eq!(check("code = '#include \"x.h\"'; y = 'a.hh'; z = 'h'"), "");
        assert_eq!(check("x = 'never closed.h\ny = \"z.h"), "z.h");
    }
}
