//! Generated documents are what the program would write now. `BLESS=1 cargo test --test docs` writes them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

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
            assert!(expected.contains_key(&path), "{} belongs to no rule", path.display());
        }
    }
}

#[test]
fn pages_of_rules() {
    let directory = root().join("docs/rules");
    let mut pages = BTreeMap::new();
    let mut index = "# Rules\n\n| code | level | name | finds |\n|---|---|---|---|\n".to_string();
    for rule in RULES {
        let id = rule.id();
        writeln!(index, "| [{id}]({id}.md) | {} | {} | {} |", rule.level.word(), rule.name, rule.summary).unwrap();
        pages.insert(directory.join(format!("{id}.md")), page(rule));
    }
    pages.insert(directory.join("README.md"), index);
    check(&pages, Some(&directory));
}

#[test]
fn the_command_line() {
    let mut text = String::from(
        "# The command line\n\nWhat `--help` says, command by command. Flags that several commands share mean the same in each.\n",
    );
    let mut definition = oc_imagepolicy::commands::definition();
    definition.build();
    for command in definition.get_subcommands_mut() {
        let name = command.get_name().to_string();
        let help =
            command.clone().bin_name(format!("oc imagepolicy {name}")).term_width(100).render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(text, "\n## {name}\n\n```\n{}\n```\n", help.join("\n").trim_end()).unwrap();
    }
    check(&BTreeMap::from([(root().join("docs/cli.md"), text)]), None);
}
