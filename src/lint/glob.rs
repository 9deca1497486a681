//! Patterns for names of objects and files: `*` (not across `/`), `**`, `?`. The time is at most pattern × text, whatever they hold.

use crate::admission::nearest;
use crate::model::provenance::ObjectRef;
use crate::snapshot::{KINDS, Kind};

/// A pattern of a path or of one part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
    /// Without any pattern character, a path stands for all that lies below it as well.
    literal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Part,
    /// `**`
    Everything,
    /// `**/` where a part begins: any number of directories, none included.
    Directories,
    /// Always behind `Directories`: within one of them.
    Inside,
}

impl Glob {
    /// Every text is a pattern.
    pub fn new(text: &str) -> Self {
        let text = text.strip_prefix("./").unwrap_or(text);
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let begins_part = tokens.last().is_none_or(|last| matches!(last, Token::Char('/') | Token::Inside));
            let taken = match next {
                '*' if rest.starts_with("**/") && begins_part => {
                    tokens.extend([Token::Directories, Token::Inside]);
                    3
                }
                '*' if rest.starts_with("**") => {
                    tokens.push(Token::Everything);
                    2
                }
                '*' => {
                    tokens.push(Token::Part);
                    1
                }
                '?' => {
                    tokens.push(Token::One);
                    1
                }
                other => {
                    tokens.push(Token::Char(other));
                    other.len_utf8()
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        if tokens.last() == Some(&Token::Char('/')) {
            tokens.push(Token::Everything);
        }
        let literal = tokens.iter().all(|token| matches!(token, Token::Char(_)));
        Self { tokens, literal }
    }

    /// Whether the whole text is of this form; a path without pattern characters also has what lies below it.
    pub fn matches(&self, text: &str) -> bool {
        let end = self.tokens.len();
        let mut here = vec![false; end + 1];
        let mut next = here.clone();
        if let Some(first) = here.first_mut() {
            *first = true;
        }
        self.skip_what_may_be_empty(&mut here);
        for c in text.chars() {
            if self.literal && c == '/' && here.last() == Some(&true) {
                return true;
            }
            next.fill(false);
            let mut reach = |state: usize| {
                if let Some(reached) = next.get_mut(state) {
                    *reached = true;
                }
            };
            for (state, token) in self.tokens.iter().enumerate().filter(|(state, _)| here.get(*state) == Some(&true)) {
                match token {
                    Token::Char(wanted) if *wanted == c => reach(state + 1),
                    Token::One if c != '/' => reach(state + 1),
                    Token::Part if c != '/' => reach(state),
                    Token::Everything => reach(state),
                    Token::Directories => reach(state + if c == '/' { 2 } else { 1 }),
                    Token::Inside => {
                        reach(state);
                        if c == '/' {
                            reach(state + 1);
                        }
                    }
                    Token::Char(_) | Token::One | Token::Part => {}
                }
            }
            self.skip_what_may_be_empty(&mut next);
            std::mem::swap(&mut here, &mut next);
            if !here.contains(&true) {
                return false;
            }
        }
        here.last() == Some(&true)
    }

    fn skip_what_may_be_empty(&self, states: &mut [bool]) {
        for (state, token) in self.tokens.iter().enumerate() {
            let behind = match token {
                Token::Part | Token::Everything => state + 1,
                Token::Directories => state + 2,
                _ => continue,
            };
            if states.get(state) == Some(&true)
                && let Some(skipped) = states.get_mut(behind)
            {
                *skipped = true;
            }
        }
    }
}

/// `ClusterImagePolicy/*`, `ImagePolicy/team-*/*`, or a kind alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectGlob {
    kind: Glob,
    namespace: Option<Glob>,
    name: Option<Glob>,
}

impl ObjectGlob {
    /// Of `KIND`, `KIND/NAME` or `KIND/NAMESPACE/NAME`, each with `*` and `?`; `KIND/*` is all of a kind.
    ///
    /// # Errors
    /// A sentence, where no object could ever match.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.trim().split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            ["**"] => ("*", None, None),
            [kind] | [kind, "*" | "**"] => (*kind, None, None),
            [kind, name] => (*kind, None, Some(*name)),
            [kind, namespace, name] => (*kind, Some(*namespace), Some(*name)),
            _ => return Err(format!("`{text}` is of none of the forms KIND/NAME and KIND/NAMESPACE/NAME")),
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(format!("`{text}` is of none of the forms KIND/NAME and KIND/NAMESPACE/NAME"));
        }
        let mut kind = kind;
        if !kind.contains(['*', '?']) && !OURS.contains(&kind) {
            let Some(known) = Kind::named(kind) else {
                let names: Vec<&str> = KINDS.iter().map(|info| info.kind.name()).collect();
                let near = nearest(kind, &names).map(|near| format!(": did you mean {near}?"));
                return Err(format!("`{kind}` is not a kind that is read here{}", near.unwrap_or_default()));
            };
            kind = known.name();
            match (known.info().namespaced, namespace, name) {
                (true, None, Some(name)) => {
                    return Err(format!("`{text}` names no namespace: {kind}/*/{name} is {name} of every namespace"));
                }
                (false, Some(_), _) => return Err(format!("`{text}` names a namespace, and a {kind} has none")),
                _ => {}
            }
        }
        Ok(Self { kind: Glob::new(kind), namespace: namespace.map(Glob::new), name: name.map(Glob::new) })
    }

    /// Whether it is such an object.
    pub fn matches(&self, object: &ObjectRef) -> bool {
        let namespace = match (&self.namespace, &object.namespace) {
            (Some(wanted), Some(namespace)) => wanted.matches(namespace),
            (Some(_), None) => false,
            (None, _) => true,
        };
        self.kind.matches(&object.kind) && namespace && self.name.as_ref().is_none_or(|name| name.matches(&object.name))
    }
}

/// What findings about suppressions are about, besides objects of a cluster.
const OURS: &[&str] = &[super::suppress::CONFIGURATION_KIND, super::suppress::COMMAND_LINE_KIND];

/// Where patterns of file names begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// Of the process; what file names are relative to. Absolute, with `/`.
    pub working_directory: String,
    /// Of the configuration file; what patterns are relative to. Absolute, with `/`.
    pub directory: String,
}

impl Base {
    /// A file as patterns name it. Purely by the text: links are not followed.
    pub fn relative(&self, file: &str) -> String {
        let absolute =
            if file.starts_with('/') { file.to_string() } else { format!("{}/{file}", self.working_directory) };
        let (base, file) = (parts(&self.directory), parts(&absolute));
        let common = base.iter().zip(&file).take_while(|(a, b)| a == b).count();
        let up = base.iter().skip(common).map(|_| "..");
        up.chain(file.iter().skip(common).copied()).collect::<Vec<&str>>().join("/")
    }
}

fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a.yaml", "a.yaml", true),
            ("a.yaml", "b/a.yaml", false),
            ("policies", "policies/team/a.yaml", true),
            ("policies/", "policies/team/a.yaml", true),
            ("policies/", "policies", false),
            ("policies", "policies2/a.yaml", false),
            ("./policies/*.yaml", "policies/a.yaml", true),
            ("policies/*.yaml", "policies/team/a.yaml", false),
            ("policies/*", "policies/team/a.yaml", false),
            ("policies/**", "policies/team/a.yaml", true),
            ("**/a.yaml", "a.yaml", true),
            ("**/a.yaml", "x/y/a.yaml", true),
            ("**/a.yaml", "x/ya.yaml", false),
            ("x/**/a.yaml", "x/a.yaml", true),
            ("x/**/a.yaml", "x/y/z/a.yaml", true),
            ("x/**/a.yaml", "xa.yaml", false),
            ("**/**/a", "b/c/d/a", true),
            ("team-?", "team-a", true),
            ("team-?", "team-ab", false),
            ("team-?", "team-ä", true),
            ("?", "/", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a**b", "a/x/b", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = "*a**a*".repeat(100);
        let text = "a".repeat(20_000);
        let started = std::time::Instant::now();
        assert!(!Glob::new(&(pattern + "b")).matches(&text));
        assert!(started.elapsed().as_secs() < 20);
    }

    #[test]
    fn objects() {
        let object = |kind: &str, namespace: Option<&str>, name: &str| ObjectRef {
            api_version: "config.openshift.io/v1".into(),
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
        };
        let cluster = object("ClusterImagePolicy", None, "team-a");
        let tenant = object("ImagePolicy", Some("shop"), "web");
        for (pattern, matches_cluster, matches_tenant) in [
            ("ClusterImagePolicy/*", true, false),
            ("clusterimagepolicy/team-?", true, false),
            ("ClusterImagePolicy", true, false),
            ("ImagePolicy/*", false, true),
            ("ImagePolicy/sh*/*", false, true),
            ("ImagePolicy/*/web", false, true),
            ("ImagePolicy/other/*", false, false),
            ("*ImagePolicy/*", true, true),
            ("**", true, true),
            ("*", true, true),
            ("*/*/*", false, true),
        ] {
            let glob = ObjectGlob::parse(pattern).unwrap();
            assert_eq!((glob.matches(&cluster), glob.matches(&tenant)), (matches_cluster, matches_tenant), "{pattern}");
        }
        for (pattern, word) in [
            ("ImagePolicy/web", "ImagePolicy/*/web"),
            ("ClusterImagePolicy/a/b", "has none"),
            ("ClusterImagePolcy/*", "did you mean ClusterImagePolicy?"),
            ("a/b/c/d", "forms"),
            ("", "forms"),
            ("Image/", "forms"),
        ] {
            let error = ObjectGlob::parse(pattern).unwrap_err();
            assert!(error.contains(word), "{pattern}: {error}");
        }
    }

    #[test]
    fn files_are_relative_to_the_configuration() {
        let base = Base { working_directory: "/home/me/repo/sub".into(), directory: "/home/me/repo".into() };
        for (file, expected) in [
            ("a.yaml", "sub/a.yaml"),
            ("./a.yaml", "sub/a.yaml"),
            ("../policies/a.yaml", "policies/a.yaml"),
            ("/home/me/repo/x/a.yaml", "x/a.yaml"),
            ("/tmp/a.yaml", "../../../tmp/a.yaml"),
            ("../../../../../../x", "../../../x"),
        ] {
            assert_eq!(base.relative(file), expected, "{file}");
        }
    }
}
