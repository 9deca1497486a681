//! `THIRD-PARTY-LICENSES.txt`: everything foreign that is in the program, the terms that each part has, and their texts. And whether
//! the terms are ones that this project takes (deny.toml).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::dependencies::Package;
use crate::fault::{Fault, Result};
use crate::platform::{Linker, Platform};
use crate::repository::{Repository, read_toml};
use crate::tools::Tools;

/// The text of the file.
///
/// # Errors
/// Where a crate has no terms, terms that deny.toml does not allow, or terms whose text is to be found nowhere.
pub fn text(repository: &Repository, platform: &Platform, packages: &[Package], tools: &Tools) -> Result<String> {
    let allowed = Allowed::read(&repository.root.join("deny.toml"))?;
    let apache =
        fs::read_to_string(repository.root.join("LICENSE")).map_err(Fault::at(&repository.root.join("LICENSE")))?;
    let mut texts = Texts::default();
    let mut list = String::new();
    let mut row = |name: &str, terms: &str, origin: &str, numbers: &BTreeSet<usize>| {
        let numbers: Vec<String> = numbers.iter().map(|number| format!("[{number}]")).collect();
        let _ = writeln!(list, "{name}\n    {terms}\n    {origin}\n    texts: {}", numbers.join(" "));
    };
    let rust = BTreeSet::from([texts.number(&apache)]);
    row("Rust's standard library", "MIT OR Apache-2.0", "https://github.com/rust-lang/rust", &rust);
    for (name, terms, origin, path) in of_zig(platform) {
        let path = tools.zig().unwrap_or_default().join(path);
        let numbers = BTreeSet::from([texts.number(&fs::read_to_string(&path).map_err(Fault::at(&path))?)]);
        row(name, terms, origin, &numbers);
    }
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        let terms = package.license.as_deref().unwrap_or_default();
        allowed.check(&package.name, terms).map_err(|fault| fault.within(&name))?;
        let mut numbers = BTreeSet::new();
        for text in shipped(&package.directory())? {
            numbers.insert(texts.number(&text));
        }
        if numbers.is_empty() {
            let text = standard(terms, package, &apache).ok_or_else(|| {
                Fault::new(format!("{name}: it comes without the text of its license, {terms}"))
                    .hint("krew/release/licenses.rs can add the texts of some; this one is not among them")
            })?;
            numbers.insert(texts.number(&text));
        }
        let origin = package.repository.clone().unwrap_or_else(|| format!("https://crates.io/crates/{}", package.name));
        row(&name, terms, &origin, &numbers);
    }
    let mut file = format!(
        "oc-imagepolicy {} for {} contains the works below, under the terms named with each.\n\
         The texts follow the list, each once.\n\n{list}",
        repository.version, platform.triple
    );
    for (text, number) in texts.in_order() {
        let _ = write!(file, "\n{:=<80}\n\n{text}\n", format!("===== [{number}] "));
    }
    Ok(file)
}

/// What zig links in, with the place of its terms in zig's package.
fn of_zig(platform: &Platform) -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    if platform.linker == Linker::Mac {
        return Vec::new();
    }
    let mut parts = vec![
        ("zig's compiler runtime", "MIT", "https://ziglang.org", "LICENSE"),
        ("LLVM's libunwind", "Apache-2.0 WITH LLVM-exception", "https://llvm.org", "lib/libunwind/LICENSE.TXT"),
    ];
    if platform.is_static() {
        parts.push(("musl", "MIT", "https://musl.libc.org", "lib/libc/musl/COPYRIGHT"));
    }
    if platform.os == "windows" {
        parts.push(("mingw-w64", "ZPL-2.1", "https://www.mingw-w64.org", "lib/libc/mingw/COPYING"));
    }
    parts
}

/// Texts by number, in the order in which they came.
#[derive(Default)]
struct Texts(BTreeMap<String, usize>);

impl Texts {
    fn number(&mut self, text: &str) -> usize {
        let lines: Vec<&str> = text.trim_matches('\u{feff}').lines().map(str::trim_end).collect();
        let next = self.0.len() + 1;
        *self.0.entry(lines.join("\n").trim_matches('\n').to_owned()).or_insert(next)
    }

    fn in_order(&self) -> Vec<(&str, usize)> {
        let mut texts: Vec<(&str, usize)> = self.0.iter().map(|(text, number)| (text.as_str(), *number)).collect();
        texts.sort_by_key(|(_, number)| *number);
        texts
    }
}

const NAMES: &[&str] = &["license", "licence", "copying", "copyright", "notice", "unlicense", "patents"];

/// The texts in a crate's directory, and of what it has of others below it (ring/third_party/fiat).
fn shipped(directory: &Path) -> Result<Vec<String>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![(directory.to_owned(), false)];
    while let Some((folder, is_of_texts)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Fault::at(&folder))? {
            let entry = entry.map_err(Fault::at(&folder))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(Fault::at(&folder))?);
            let name = entry.file_name().to_string_lossy().to_lowercase();
            let is_text = (is_of_texts || NAMES.iter().any(|known| name.starts_with(known))) && !name.ends_with(".rs");
            if kind.is_dir() && !NOT_LINKED.contains(&name.as_str()) {
                folders.push((path, is_text));
            } else if is_text && path.is_file() {
                files.insert(path);
            }
        }
    }
    files
        .iter()
        .map(|path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(Fault::at(path)))
        .filter(|text| text.as_ref().map_or(true, |text| !text.trim().is_empty()))
        .collect()
}

const NOT_LINKED: &[&str] = &["tests", "benches", "examples", "fuzz"];

/// The text of well-known terms, with the crate's authors as its holders.
fn standard(terms: &str, package: &Package, apache: &str) -> Option<String> {
    let authors: Vec<&str> =
        package.authors.iter().map(|author| author.split('<').next().unwrap_or_default().trim()).collect();
    let holders = if authors.is_empty() { format!("the authors of {}", package.name) } else { authors.join(", ") };
    let offers = |id| Expression::parse(terms).is_ok_and(|expression| expression.holds(&|term| term == id));
    if offers("Apache-2.0") {
        Some(apache.to_owned())
    } else if offers("MIT") {
        Some(MIT.replace("{holders}", &holders))
    } else if offers("BSD-3-Clause") {
        Some(BSD_3_CLAUSE.replace("{holders}", &holders))
    } else {
        None
    }
}

const MIT: &str = include_str!("licenses/MIT.txt");
const BSD_3_CLAUSE: &str = include_str!("licenses/BSD-3-Clause.txt");

/// The terms that deny.toml allows.
struct Allowed {
    all: BTreeSet<String>,
    /// For single crates.
    exceptions: BTreeMap<String, BTreeSet<String>>,
}

impl Allowed {
    fn read(path: &Path) -> Result<Self> {
        let deny = read_toml(path)?;
        let licenses = deny.get("licenses");
        let strings = |value: Option<&toml::Value>| -> BTreeSet<String> {
            let array = value.and_then(toml::Value::as_array).into_iter().flatten();
            array.filter_map(|value| value.as_str().map(str::to_owned)).collect()
        };
        let all = strings(licenses.and_then(|licenses| licenses.get("allow")));
        if all.is_empty() {
            return Err(Fault::new(format!("{}: licenses.allow is empty", path.display())));
        }
        let exceptions = licenses.and_then(|licenses| licenses.get("exceptions")).and_then(toml::Value::as_array);
        let exceptions = exceptions.into_iter().flatten().filter_map(|exception| {
            Some((exception.get("crate")?.as_str()?.to_owned(), strings(exception.get("allow"))))
        });
        Ok(Self { all, exceptions: exceptions.collect() })
    }

    fn check(&self, name: &str, terms: &str) -> Result<()> {
        if terms.is_empty() {
            return Err(Fault::new("it names no license").hint("a crate without terms cannot be given to others"));
        }
        let expression = Expression::parse(terms)
            .map_err(|reason| Fault::new(format!("its license {terms:?} is no SPDX expression: {reason}")))?;
        let extra = self.exceptions.get(name);
        if expression.holds(&|term| self.all.contains(term) || extra.is_some_and(|extra| extra.contains(term))) {
            return Ok(());
        }
        Err(Fault::new(format!("deny.toml does not allow its license, {terms}")))
    }
}

/// An SPDX license expression (SPDX 2.3, annex D), and `/` for `OR` as crates of old have it.
#[derive(Debug, PartialEq)]
enum Expression {
    Term(String),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

impl Expression {
    fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut words = words.as_slice();
        // Far more than any crate has; each parenthesis is a call.
        if words.len() > 100 {
            return Err("too long");
        }
        let expression = Self::any(&mut words)?;
        if words.is_empty() { Ok(expression) } else { Err("something is behind its end") }
    }

    fn any(words: &mut &[&str]) -> std::result::Result<Self, &'static str> {
        let mut choices = vec![Self::all(words)?];
        while let Some(rest) = words.strip_prefix(&["OR"]) {
            *words = rest;
            choices.push(Self::all(words)?);
        }
        Ok(if choices.len() == 1 { choices.remove(0) } else { Self::Any(choices) })
    }

    fn all(words: &mut &[&str]) -> std::result::Result<Self, &'static str> {
        let mut parts = vec![Self::one(words)?];
        while let Some(rest) = words.strip_prefix(&["AND"]) {
            *words = rest;
            parts.push(Self::one(words)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Self::All(parts) })
    }

    fn one(words: &mut &[&str]) -> std::result::Result<Self, &'static str> {
        let (first, rest) = words.split_first().ok_or("it ends too early")?;
        *words = rest;
        match *first {
            "(" => {
                let inner = Self::any(words)?;
                *words = words.strip_prefix(&[")"]).ok_or("a parenthesis is open")?;
                Ok(inner)
            }
            ")" | "OR" | "AND" | "WITH" => Err("a license is missing"),
            license => match words {
                ["WITH", exception, rest @ ..] => {
                    *words = rest;
                    Ok(Self::Term(format!("{license} WITH {exception}")))
                }
                _ => Ok(Self::Term(license.to_owned())),
            },
        }
    }

    fn holds(&self, allowed: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Term(term) => allowed(term),
            Self::All(parts) => parts.iter().all(|part| part.holds(allowed)),
            Self::Any(choices) => choices.iter().any(|choice| choice.holds(allowed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_allowed_as_deny_toml_says() {
        let allowed = Allowed::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
        for (name, terms, is_allowed) in [
            ("a", "MIT", true),
            ("a", "MIT/Apache-2.0", true),
            ("a", "GPL-3.0-only", false),
            ("a", "GPL-3.0-only OR MIT", true),
            ("a", "GPL-3.0-only AND MIT", false),
            ("a", "(MIT OR GPL-3.0-only) AND Unicode-3.0", true),
            ("a", "MIT OR GPL-3.0-only AND GPL-2.0-only", true),
            ("a", "(MIT OR GPL-3.0-only) AND GPL-2.0-only", false),
            ("a", "Apache-2.0 WITH LLVM-exception", true),
            ("a", "GPL-2.0-only WITH Classpath-exception-2.0", false),
            ("colored", "MPL-2.0", true),
            ("a", "MPL-2.0", false),
            ("a", "", false),
            ("a", "MIT OR", false),
            ("a", "MIT Apache-2.0", false),
            ("a", "(MIT", false),
            ("a", "MIT)", false),
            ("a", "OR MIT", false),
            ("a", "MIT WITH", false),
        ] {
            assert_eq!(allowed.check(name, terms).is_ok(), is_allowed, "{name} {terms:?}");
        }
        assert!(allowed.check("a", &"(".repeat(1_000_000)).is_err());
    }

    #[test]
    fn texts_are_found_at_every_depth() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "LICENSE-MIT",
            "src/license.rs",
            "src/unicode/LICENSE-UNICODE",
            "licenses/a/b.txt",
            "tests/data/LICENSE",
            "Cargo.toml",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        assert_eq!(shipped(folder.path()).unwrap(), ["LICENSE-MIT", "b.txt", "LICENSE-UNICODE"]);
    }

    #[test]
    fn a_text_is_printed_once() {
        let mut texts = Texts::default();
        assert_eq!(
            ["one\n", "two", "\u{feff}one", "one  \r\n", "three"].map(|text| texts.number(text)),
            [1, 2, 1, 1, 3]
        );
        assert_eq!(texts.in_order(), [("one", 1), ("two", 2), ("three", 3)]);
    }
}
