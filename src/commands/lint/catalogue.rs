//! `lint --rules` and `lint --explain CODE`: the rules themselves.

use std::io;

use serde::Serialize;

use super::text::level_style;
use crate::error::Error;
use crate::lint::rules::RULES;
use crate::lint::select::rules_named;
use crate::lint::{Level, Rule};
use crate::output::words::fold;
use crate::output::{API_VERSION, Report, Style, Table, Terminal};

/// `--rules`
pub fn list() -> RuleList {
    RuleList { api_version: API_VERSION, kind: "RuleList", rules: RULES.iter().map(|rule| rule.into()).collect() }
}

/// `--explain CODE`
pub fn page(code: &str) -> Result<RulePage, Error> {
    Ok(RulePage { api_version: API_VERSION, kind: "Rule", rule: find_rule(code)? })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleList {
    api_version: &'static str,
    kind: &'static str,
    rules: Vec<RuleRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleRow {
    code: String,
    name: &'static str,
    level: Level,
    confidence: crate::lint::Confidence,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    refused_by: &'static [crate::model::provenance::RefusedBy],
    needs: Vec<&'static str>,
    releases: &'static str,
    summary: &'static str,
}

impl From<&&'static Rule> for RuleRow {
    fn from(rule: &&'static Rule) -> Self {
        Self {
            code: rule.id(),
            name: rule.name,
            level: rule.level,
            confidence: rule.confidence,
            refused_by: rule.refused_by,
            needs: rule.needs.iter().map(|kind| kind.name()).collect(),
            releases: rule.releases,
            summary: rule.summary,
        }
    }
}

impl Report for RuleList {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        let mut table = Table::new(t, &["CODE", "LEVEL", "NAME", "FINDS"]);
        for rule in &self.rules {
            table.row([
                (Style::Bold, rule.code.as_str().into()),
                (level_style(rule.level), rule.level.word().into()),
                (Style::Plain, rule.name.into()),
                (Style::Plain, rule.summary.into()),
            ]);
        }
        table.print(t)
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        self.rules.iter().try_for_each(|rule| t.line(&rule.code))
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        self.rules.iter().try_for_each(|rule| t.json_line(rule))
    }
}

pub struct RulePage {
    api_version: &'static str,
    kind: &'static str,
    rule: &'static Rule,
}

impl Serialize for RulePage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            api_version: &'static str,
            kind: &'static str,
            #[serde(flatten)]
            row: RuleRow,
            why: &'static str,
            fix: &'static str,
            examples: Vec<PageExample>,
        }
        #[derive(Serialize)]
        struct PageExample {
            fires: bool,
            release: &'static str,
            manifests: &'static str,
        }
        let examples = self.rule.examples.iter();
        Page {
            api_version: self.api_version,
            kind: self.kind,
            row: (&self.rule).into(),
            why: self.rule.why,
            fix: self.rule.fix,
            examples: examples
                .map(|example| PageExample {
                    fires: example.fires,
                    release: example.release,
                    manifests: example.manifests,
                })
                .collect(),
        }
        .serialize(serializer)
    }
}

impl Report for RulePage {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        let width = t.width();
        let mut is_example = false;
        for line in crate::lint::rules::page(self.rule).lines() {
            is_example ^= line.starts_with("```");
            match is_example {
                true => t.line(line)?,
                false => fold(line, width).iter().try_for_each(|line| t.line(line))?,
            }
        }
        Ok(())
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        t.line(&self.rule.id())
    }
}

fn find_rule(text: &str) -> Result<&'static Rule, Error> {
    const HINT: &str = "list them with: oc imagepolicy lint --rules";
    let found = rules_named(text).map_err(|unknown| Error::usage(unknown.to_string(), HINT))?;
    match found.as_slice() {
        [rule] => Ok(rule),
        several => {
            let codes: Vec<String> = several.iter().map(|rule| rule.id()).collect();
            Err(Error::usage(format!("`{text}` names several rules: {}", codes.join(", ")), "name one of them"))
        }
    }
}
