//! Generated documents are what the program would write now. `BLESS=1 cargo test --test docs` writes them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap_mangen::roff::{Roff, roman};
use oc_imagepolicy::commands::PLUGIN;
use oc_imagepolicy::lint::rules::{RULES, page};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn check(expected: &BTreeMap<PathBuf, String>, directory: Option<&Path>) {
    if std::env::var_os("BLESS").is_some() {
        if let Some(directory) = directory {
            let _ = fs::remove_dir_all(directory);
            fs::create_dir_all(directory).unwrap();
        }
        for (path, text) in expected {
            fs::write(path, text).unwrap();
        }
        return;
    }
    for (path, text) in expected {
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == *text, "{} is out of date: BLESS=1 cargo test --test docs", path.display());
    }
    if let Some(directory) = directory {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            assert!(expected.contains_key(&path), "{} is generated no more", path.display());
        }
    }
}

/// The pitfalls of image policy by number, from 1.
const PITFALLS: [&str; 53] = [
    "A hand-written policy.json is not what nodes read: the controller's comes after it",
    "A MachineConfig that comes after the controller's makes policies and lists void",
    "A scope that the `atomic` transport refuses makes policy.json unreadable",
    "A policy's scope lies outside of allowedRegistries",
    "The policy that OpenShift ships lies outside of allowedRegistries",
    "A policy's scope lies in blockedRegistries",
    "A blocked payload registry with mirrors leaves room for no other policy",
    "Two blocked entries around the payload",
    "Allowed and blocked registries at once",
    "A tenant's ImagePolicy stops the controller for the whole cluster",
    "The same scope in several policies: all of them must be satisfied",
    "Signatures are asked for and not read",
    "An ImagePolicy has no effect beside a ClusterImagePolicy; its status is old",
    "An ImagePolicy for a tag or digest replaces a ClusterImagePolicy",
    "An ImagePolicy is broader than a ClusterImagePolicy",
    "An allowed registry inside a policy's scope needs no signature",
    "A narrower policy replaces a broader one",
    "A registry has two entries in registries.d",
    "4.16 leaves out scopes that hold the payload",
    "Pulls by tag need a signature for exactly that tag",
    "Signatures without a tag do not satisfy the default identity",
    "Images that were copied to a mirror have the identity of their source",
    "A mirror may lack the signatures",
    "A scope names a mirror, and pods name the source",
    "A scope that no image can match",
    "A wildcard leaves out the domain itself",
    "A registry with and without a port are two things",
    "allowedRegistries leaves out what OpenShift itself pulls",
    "The default of an allow list rejects other transports, too",
    "A block of the payload's registry is dropped without a word",
    "A blocked registry is not pulled from its mirror either",
    "Mirror sets that contradict each other",
    "A mirror of a wildcard and an entry inside it",
    "A mirror set without a mirror",
    "Key data that is no public key",
    "PKI and lists of keys on nodes that do not know them",
    "Policies named `openshift…`",
    "Policies where the cluster serves or honours none",
    "Pools that do not take what is rendered for them",
    "Images that nodes have already are not checked again",
    "A policy around the payload with a key that did not sign it",
    "A change that drains or reboots nodes",
    "A generated MachineConfig that somebody edited",
    "A MachineConfig that becomes too large",
    "Signatures of cosign 3 that nodes do not find",
    "ImagePolicies in several namespaces, on the first releases that know them",
    "Operating system images and older tools on the nodes",
    "Hosted control planes",
    "What the policy of nodes does not cover: builds, imports",
    "A mirror that is insecure like its source, and does not say so",
    "An entry of registries.conf that cannot be rewritten",
    "The list of blocked registries is dropped as a whole",
    "A wildcard block that ends the controller",
];

/// Which rules tell of which pitfall.
fn pitfalls() -> String {
    let mut text = "# Pitfalls\n\nWhat goes wrong with image policy on OpenShift, and the rules of `lint` that tell of it. Every rule has a page of its own: \
                    [all of them](README.md).\n\n| pitfall | | rules |\n|---|---|---|\n"
        .to_string();
    for (number, title) in (1..).zip(PITFALLS) {
        let rules = RULES.iter().filter(|rule| rule.pitfalls.contains(&number));
        let links: Vec<String> = rules.map(|rule| format!("[{0}]({0}.md)", rule.id())).collect();
        writeln!(text, "| P{number:02} | {title} | {} |", links.join(", ")).unwrap();
    }
    text
}

#[test]
fn pages_of_rules() {
    let directory = root().join("docs/rules");
    let mut pages = BTreeMap::new();
    let mut index = "# Rules\n\nWhat can go wrong, and which rules tell of it: [the pitfalls](PITFALLS.md).\n\n| code | level | name | finds |\n|---|---|---|---|\n".to_string();
    for rule in RULES {
        let id = rule.id();
        writeln!(index, "| [{id}]({id}.md) | {} | {} | {} |", rule.level.word(), rule.name, rule.summary).unwrap();
        pages.insert(directory.join(format!("{id}.md")), page(rule));
    }
    pages.insert(directory.join("README.md"), index);
    pages.insert(directory.join("PITFALLS.md"), pitfalls());
    check(&pages, Some(&directory));
}

/// The commands below one, with the words that lead to them (`completion install`), in the order of `--help`.
fn commands(definition: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    for command in definition.get_subcommands().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", command.get_name()).trim_start().to_string();
        let below = commands(command, &path);
        found.push((path, command.clone()));
        found.extend(below);
    }
    found
}

#[test]
fn the_command_line() {
    let mut text = String::from(
        "# The command line\n\nWhat `--help` says, command by command. Flags that several commands share mean the same in each.\n",
    );
    let mut definition = oc_imagepolicy::commands::definition();
    definition.build();
    for (path, command) in commands(&definition, "") {
        let help = command.bin_name(format!("oc {PLUGIN} {path}")).term_width(100).render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(text, "\n## {path}\n\n```\n{}\n```\n", help.join("\n").trim_end()).unwrap();
    }
    check(&BTreeMap::from([(root().join("docs/cli.md"), text)]), None);
}

/// A page for `man`. The sections that clap_mangen writes well are its own; its synopsis names every flag, and it has no section for examples.
fn man_page(path: &str, mut command: clap::Command, see_also: &[String]) -> Vec<u8> {
    let name = format!("oc-{PLUGIN} {path}").trim_end().replace(' ', "-");
    let typed = format!("oc {PLUGIN} {path}").trim_end().to_string();
    command = command.display_name(&name).bin_name(typed).disable_help_subcommand(true);
    let usage = command.render_usage().to_string().trim_start_matches("Usage: ").to_string();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections = Roff::new();
    let mut last = "";
    for part in after.split("\n\n").filter(|part| !part.is_empty()) {
        let part = part.strip_prefix("Examples:\n").unwrap_or(part);
        let is_example = part.trim_start().starts_with("# ") || part.contains("\n  oc ");
        let (heading, text) = match part.strip_prefix("Exit codes: ") {
            Some(codes) => ("EXIT STATUS", codes),
            None if is_example => ("EXAMPLES", part),
            None => ("NOTES", part),
        };
        match std::mem::replace(&mut last, heading) == heading {
            true => sections.control("PP", []),
            false => sections.control("SH", [heading]),
        };
        if is_example {
            sections.control("nf", []);
            for line in text.lines() {
                sections.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            sections.control("fi", []);
        } else {
            sections.text([roman(text)]);
        }
    }
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([roman(usage)]);
    let mut references = Roff::new();
    references.control("SH", ["SEE ALSO"]);
    references.text([roman(
        see_also.iter().filter(|page| **page != name).map(|page| format!("{page}(1)")).collect::<Vec<_>>().join(", "),
    )]);

    let page = clap_mangen::Man::new(command.clone());
    // clap_mangen leaves the quotes of an empty date out, and what follows takes its place.
    let (title, version) = (name.to_uppercase(), env!("CARGO_PKG_VERSION"));
    let mut text =
        format!(".TH \"{title}\" \"1\" \"\" \"oc-{PLUGIN} {version}\" \"OpenShift image policy\"\n").into_bytes();
    page.render_name_section(&mut text).unwrap();
    synopsis.to_writer(&mut text).unwrap();
    page.render_description_section(&mut text).unwrap();
    page.render_options_section(&mut text).unwrap();
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text).unwrap();
    }
    sections.to_writer(&mut text).unwrap();
    references.to_writer(&mut text).unwrap();
    text
}

/// What `man` shows, for the whole and for each command; releases carry them.
#[test]
fn man_pages() {
    let directory = root().join("docs/man");
    let mut definition = oc_imagepolicy::commands::definition();
    definition.build();
    let pages: Vec<_> = [(String::new(), definition.clone())].into_iter().chain(commands(&definition, "")).collect();
    let name = |path: &str| format!("oc-{PLUGIN} {path}").trim_end().replace(' ', "-");
    let names: Vec<String> = pages.iter().map(|(path, _)| name(path)).collect();
    let pages = pages.into_iter().map(|(path, command)| {
        let text = man_page(&path, command, &names);
        (directory.join(format!("{}.1", name(&path))), String::from_utf8(text).unwrap())
    });
    check(&pages.collect(), Some(&directory));
}
