//! Standard output as a person sees it. Whatever comes from an object goes through [`clean`], so no text can command the terminal.

use std::cell::RefCell;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::rc::Rc;

use colored::{ColoredString, Colorize};
use serde::Serialize;

use super::clean;

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR or TERM=dumb says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a piece of text is. Meaning is never in the colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Nothing special.
    Plain,
    /// Table heads and the like.
    Bold,
    /// Less important.
    Dim,
    /// Accepts anything; a warning.
    Caution,
    /// Rejects; an error.
    Bad,
    /// Needs a signature; fine.
    Good,
    /// A reference to something.
    Accent,
}

/// Where reports are printed.
pub struct Terminal {
    out: BufWriter<Box<dyn Write>>,
    color: bool,
    width: usize,
    wide: bool,
    is_terminal: bool,
    /// Rows of the picture that [`Terminal::repaint`] left on the screen.
    painted: usize,
}

/// Bytes that somebody else looks at later.
#[derive(Clone, Default)]
struct Canvas(Rc<RefCell<Vec<u8>>>);

impl Write for Canvas {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How something is printed, apart from where: for parts that are made ready beside each other.
#[derive(Clone, Copy)]
pub struct Look {
    color: bool,
    width: usize,
    wide: bool,
    is_terminal: bool,
}

impl Look {
    /// What would be printed.
    pub fn picture(self, paint: impl FnOnce(&mut Terminal) -> io::Result<()>) -> io::Result<String> {
        let Self { color, width, wide, is_terminal } = self;
        let canvas = Canvas::default();
        let out = BufWriter::with_capacity(0, Box::new(canvas.clone()) as Box<dyn Write>);
        let mut painter = Terminal { out, color, width, wide, is_terminal, painted: 0 };
        paint(&mut painter)?;
        painter.flush()?;
        drop(painter);
        String::from_utf8(canvas.0.take()).map_err(io::Error::other)
    }
}

impl Terminal {
    /// How it prints.
    pub fn look(&self) -> Look {
        Look { color: self.color, width: self.width, wide: self.wide, is_terminal: self.is_terminal }
    }

    /// Standard output: 80 columns where it is no terminal, what it has otherwise.
    pub fn stdout(color: Color, wide: bool) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let width = if is_terminal { terminal_width() } else { None };
        let color = color.wanted(is_terminal);
        colored::control::set_override(color);
        let out = BufWriter::with_capacity(64 * 1024, Box::new(stdout) as Box<dyn Write>);
        Self { out, color, width: width.unwrap_or(80), wide, is_terminal, painted: 0 }
    }

    /// Somewhere else, without colour.
    pub fn to(out: Box<dyn Write>, width: usize) -> Self {
        Self { out: BufWriter::new(out), color: false, width, wide: false, is_terminal: false, painted: 0 }
    }

    /// The same, with room for long lines.
    pub fn widened(self, wide: bool) -> Self {
        Self { wide, ..self }
    }

    /// Columns to fit into.
    pub fn width(&self) -> usize {
        if self.wide { usize::from(u16::MAX) } else { self.width }
    }

    /// Whether somebody looks at it.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Puts a picture in place of the one that the last call left on the terminal. What the screen has no room for is left out at
    /// the end.
    pub fn repaint(&mut self, paint: impl FnOnce(&mut Terminal) -> io::Result<()>) -> io::Result<()> {
        let picture = self.look().picture(paint)?;
        let room = terminal_height().map_or(usize::MAX, |height| height.saturating_sub(1));
        if self.painted > 0 {
            // Up to the first row of the old picture, and everything from there away.
            write!(self.out, "\x1b[{}F\x1b[J", self.painted)?;
        }
        self.painted = 0;
        for line in picture.lines() {
            let rows = columns(line).div_ceil(self.width.max(1)).max(1);
            if self.painted + rows > room {
                break;
            }
            self.painted += rows;
            self.write_raw(line)?;
            self.end_line()?;
        }
        self.flush()
    }

    /// Whether `-o wide` was asked for.
    pub fn wide(&self) -> bool {
        self.wide
    }

    /// Whether colours are on.
    pub fn color(&self) -> bool {
        self.color
    }

    /// A piece of text within a line.
    pub fn put(&mut self, style: Style, text: &str) -> io::Result<()> {
        let text = clean(text);
        if self.color && style != Style::Plain && !text.is_empty() {
            write!(self.out, "{}", style.paint(&text))
        } else {
            self.out.write_all(text.as_bytes())
        }
    }

    /// A line of plain text.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.put(Style::Plain, text)?;
        self.end_line()
    }

    /// The end of a line.
    pub fn end_line(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    /// A document on a line of its own.
    pub fn json_line(&mut self, document: &(impl Serialize + ?Sized)) -> io::Result<()> {
        let text = super::json(document, false)?;
        self.write_raw(&text)?;
        self.end_line()
    }

    /// What a [`Look`] has made ready.
    pub fn picture(&mut self, picture: &str) -> io::Result<()> {
        self.write_raw(picture)
    }

    /// Objects as a YAML stream, with a comment at the head.
    pub fn yaml_stream(&mut self, comment: &str, documents: &[serde_json::Value]) -> io::Result<()> {
        self.write_raw(comment)?;
        for document in documents {
            self.write_raw("---\n")?;
            self.write_raw(&super::yaml(document)?)?;
        }
        Ok(())
    }

    /// Text that is known to be harmless: JSON and YAML of this program's own making, whose writers escape.
    pub(super) fn write_raw(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    /// Bytes as they are, such as a generated file that was asked for.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// For writers that escape what they write themselves.
    pub fn writer(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Writes out what was gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Color {
    fn wanted(self, is_terminal: bool) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto if set("CLICOLOR_FORCE") || set("FORCE_COLOR") => true,
            Self::Auto => is_terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

impl Style {
    /// The text in this style's colours.
    pub fn paint(self, text: &str) -> ColoredString {
        match self {
            Self::Plain => text.normal(),
            Self::Bold => text.bold(),
            Self::Dim => text.dimmed(),
            Self::Caution => text.yellow(),
            Self::Bad => text.red(),
            Self::Good => text.green(),
            Self::Accent => text.cyan(),
        }
    }
}

/// What a line takes, colours aside.
fn columns(line: &str) -> usize {
    let mut columns = 0;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => _ = letters.by_ref().find(|letter| letter.is_ascii_alphabetic()),
            _ => columns += 1,
        }
    }
    columns
}

fn terminal_height() -> Option<usize> {
    let (_, terminal_size::Height(height)) = terminal_size::terminal_size()?;
    (height >= 3).then_some(usize::from(height))
}

fn terminal_width() -> Option<usize> {
    let (terminal_size::Width(width), _) = terminal_size::terminal_size()?;
    (width >= 20).then_some(usize::from(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_takes_the_place_of_the_one_before() {
        let screen = Canvas::default();
        let mut t = Terminal::to(Box::new(screen.clone()), 10);
        // The second line takes two rows.
        t.repaint(|t| t.line("one").and_then(|()| t.line("twelve letters"))).unwrap();
        t.repaint(|t| t.line("\u{1b}[2Jonly")).unwrap();
        t.repaint(|t| t.line("last")).unwrap();
        let written = String::from_utf8(screen.0.borrow().clone()).unwrap();
        let up = |rows: usize| format!("\u{1b}[{rows}F\u{1b}[J");
        assert_eq!(written, format!("one\ntwelve letters\n{}\\u{{1b}}[2Jonly\n{}last\n", up(3), up(2)));
        assert_eq!(columns("\u{1b}[1mbold\u{1b}[0m"), 4);
    }
}
