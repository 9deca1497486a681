//! Tables as kubectl prints them: no lines, upper-case heads, three blanks between columns. What does not fit wraps, at blanks and
//! slashes where it can; nothing is cut.

use std::borrow::Cow;
use std::io;

use comfy_table::{Attribute, Cell, ContentArrangement};

use super::clean;
use super::terminal::{Style, Terminal};

const GAP: usize = 3;
/// No column gets narrower, and what is wider counts as this wide when room is shared out.
const NARROWEST: usize = 12;
const WIDEST: usize = 400;

/// A table in the making.
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<(Style, String)>>,
    width: usize,
    color: bool,
}

impl Table {
    /// With the given heads.
    pub fn new(t: &Terminal, heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new(), width: t.width(), color: t.color() }
    }

    /// One more row. Line breaks within a cell are kept, everything else is cleaned.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = (Style, Cow<'a, str>)>) {
        let cleaned = |text: Cow<'a, str>| text.split('\n').map(clean).collect::<Vec<_>>().join("\n");
        self.rows.push(cells.into_iter().map(|(style, text)| (style, cleaned(text))).collect());
    }

    /// Prints it without blanks at the ends of lines.
    pub fn print(&self, t: &mut Terminal) -> io::Result<()> {
        let widths = self.widths();
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(self.heads.iter().map(|head| self.styled(Style::Bold, Cell::new(head))));
        for row in &self.rows {
            table.add_row(row.iter().zip(&widths).map(|((style, text), width)| {
                let lines: Vec<String> = text.split('\n').flat_map(|line| wrap(line, *width)).collect();
                self.styled(*style, Cell::new(lines.join("\n")))
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP as u16));
        }
        for line in table.lines() {
            t.write_raw(line.trim_end())?;
            t.end_line()?;
        }
        Ok(())
    }

    fn styled(&self, style: Style, cell: Cell) -> Cell {
        if !self.color {
            return cell;
        }
        match style {
            Style::Plain => cell,
            Style::Bold => cell.add_attribute(Attribute::Bold),
            Style::Dim => cell.add_attribute(Attribute::Dim),
            Style::Caution => cell.fg(comfy_table::Color::Yellow),
            Style::Bad => cell.fg(comfy_table::Color::Red),
            Style::Good => cell.fg(comfy_table::Color::Green),
            Style::Accent => cell.fg(comfy_table::Color::Cyan),
        }
    }

    /// As wide as the content. While that is too much, the column gives way that has most room above its longest word; when none has
    /// any left, the widest.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.len()).collect();
        let mut words = widths.clone();
        for row in &self.rows {
            for (index, (_, text)) in row.iter().enumerate().take(widths.len()) {
                let longest = text.split('\n').map(|line| line.chars().count()).max().unwrap_or(0);
                widths[index] = widths[index].max(if self.width > WIDEST { longest } else { longest.min(WIDEST) });
                let word = text.split([' ', '\n']).flat_map(|word| word.split_inclusive('/'));
                words[index] = words[index].max(word.map(|word| word.chars().count()).max().unwrap_or(0));
            }
        }
        let room = self.width.saturating_sub(GAP * widths.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let slack = |index: &usize| (widths[*index].saturating_sub(words[*index]), widths[*index]);
            let Some(widest) = (0..widths.len()).filter(|index| widths[*index] > NARROWEST).max_by_key(slack) else {
                break;
            };
            widths[widest] -= 1;
        }
        widths
    }
}

/// Lines of at most `width` characters: broken at a blank, else behind a slash, else where it must be.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > width {
        let blank = (1..=width).rev().find(|at| rest[*at] == ' ');
        let slash = (1..=width).rev().find(|at| matches!(rest[at - 1], '/'));
        let at = blank.filter(|at| at * 2 > width).or(slash.filter(|at| at * 3 > width)).or(blank).unwrap_or(width);
        let tail = rest.split_off(at);
        lines.push(rest.iter().collect::<String>());
        rest = if tail.first() == Some(&' ') { tail[1..].to_vec() } else { tail };
    }
    lines.push(rest.into_iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_where_a_reader_would() {
        for (text, width, expected) in [
            ("short", 10, vec!["short"]),
            ("needs a signature by key", 17, vec!["needs a signature", "by key"]),
            ("registry.example.com/shop/base", 24, vec!["registry.example.com/", "shop/base"]),
            ("averylongword", 5, vec!["avery", "longw", "ord"]),
            ("ClusterImagePolicy/pipelines", 20, vec!["ClusterImagePolicy/", "pipelines"]),
            ("", 5, vec![""]),
        ] {
            assert_eq!(wrap(text, width), expected, "{text}");
        }
    }
}
