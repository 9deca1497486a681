//! `explain -`: a verdict for each line of stdin, in constant memory.

use std::io::{self, BufRead};

use super::document::{Explanation, RefusedLine, VerdictDoc};
use super::{Args, is_lines, namespaces, unknown};
use crate::commands::Answer;
use crate::commands::load::{Header, Loaded};
use crate::commands::views::{Truth, View};
use crate::error::{Error, Result};
use crate::model::policy::Verdict;
use crate::output::words::Keyrings;
use crate::output::{API_VERSION, Format, Terminal, clean};
use crate::resolve::Resolver;

/// A longer line is no image name; it is not kept.
const LONGEST_LINE: usize = 64 * 1024;

/// What makes no sense together with `-`.
pub fn check_flags(args: &Args) -> Result<()> {
    let hint = "oc imagepolicy explain - -o jsonl";
    if args.images.len() > 1 {
        return Err(Error::usage("`-` stands alone: its images come from stdin", hint));
    }
    let stdin_twice = args.input.filename.iter().chain(&args.input.overlay).any(|path| path.as_os_str() == "-");
    if stdin_twice {
        return Err(Error::usage(
            "stdin cannot be read both for objects and for image names",
            "write one of them to a file",
        ));
    }
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        return Err(Error::usage("a stream of images has no end that json or yaml could close", hint));
    }
    if args.header && args.output.format != Format::Jsonl {
        return Err(Error::usage("--header goes with -o jsonl", "oc imagepolicy explain - -o jsonl --header"));
    }
    Ok(())
}

/// Answers until stdin ends.
pub fn run(args: &Args, loaded: &Loaded, truth: &Truth) -> Answer {
    let mut t = args.output.terminal();
    if truth.refused() {
        t.json_line(&RefusedLine { refusals: truth.refusals() })?;
        t.flush()?;
        return Ok(false);
    }
    let mut views: Vec<(&View, Option<String>, Resolver<'_>)> = Vec::new();
    for view in truth.views() {
        for namespace in namespaces(args, view) {
            match Resolver::new(&view.files, namespace.as_deref()) {
                Ok(resolver) => views.push((view, namespace, resolver)),
                Err(refusals) => {
                    t.json_line(&RefusedLine { refusals: &refusals })?;
                    t.flush()?;
                    return Ok(false);
                }
            }
        }
    }
    let blind = super::blind(loaded, &args.scope.of, args.namespaces.namespace.as_deref());
    if let Some(gap) = blind {
        return Err(unknown(gap));
    }
    let fine = if is_lines(args.output.format) {
        match views.as_slice() {
            [(_, _, resolver)] => lines(args, resolver, &mut t)?,
            _ => {
                return Err(Error::usage(
                    "several policies would each have a verdict for every image",
                    "name one: --pool NAME, and -n NAMESPACE instead of -A; or take -o jsonl",
                ));
            }
        }
    } else {
        if args.header {
            let header = loaded.header(&args.scope.of.to_string(), truth.in_force());
            t.json_line(&HeaderLine { api_version: API_VERSION, kind: "ExplanationList", header })?;
        }
        documents(args, &views, &mut t)?
    };
    t.flush()?;
    Ok(fine)
}

/// What every document has in common, once.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct HeaderLine {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    header: Header,
}

/// `VERDICT image`, one policy, nothing allocated for an image.
fn lines(args: &Args, resolver: &Resolver<'_>, t: &mut Terminal) -> Answer {
    let wanted = args.check.map(super::Check::verdict);
    let mut fine = true;
    let mut scratch = String::with_capacity(512);
    let mut out: Vec<u8> = Vec::with_capacity(1 << 16);
    each_line(|line| {
        match std::str::from_utf8(line).ok().map(|image| (image, resolver.verdict_of(image, &mut scratch))) {
            Some((_, Ok(verdict))) => {
                fine &= wanted.is_none_or(|wanted| wanted == verdict);
                out.extend_from_slice(match verdict {
                    Verdict::AcceptsAnything => b"AcceptsAnything ",
                    Verdict::Rejects => b"Rejects ",
                    Verdict::RequiresSignature => b"RequiresSignature ",
                });
                // The grammar of references has no character that a terminal would obey.
                out.extend_from_slice(line);
            }
            _ => {
                fine &= wanted.is_none();
                out.extend_from_slice(b"Unparsable ");
                out.extend_from_slice(clean(&String::from_utf8_lossy(line)).as_bytes());
            }
        }
        out.push(b'\n');
        if out.len() >= (1 << 16) - 1024 {
            t.write_bytes(&out)?;
            out.clear();
        }
        Ok(())
    })?;
    t.write_bytes(&out)?;
    Ok(fine)
}

/// One Explanation a line, for each policy.
fn documents(args: &Args, views: &[(&View, Option<String>, Resolver<'_>)], t: &mut Terminal) -> Answer {
    let keyrings: Vec<Keyrings> = views.iter().map(|(view, ..)| Keyrings::of(&view.files)).collect();
    let wanted = args.check.map(|check| VerdictDoc::Known(check.verdict()));
    let mut fine = true;
    each_line(|line| {
        let image = String::from_utf8_lossy(line);
        for ((view, namespace, resolver), keyrings) in views.iter().zip(&keyrings) {
            let mut item =
                Explanation { namespace: namespace.clone(), pools: view.pools.clone(), ..Explanation::empty(&image) };
            super::describe(&mut item, resolver, keyrings, false);
            fine &= wanted.is_none() || item.verdict == wanted;
            t.json_line(&item)?;
        }
        Ok(())
    })?;
    Ok(fine)
}

/// Hands over the lines of stdin without their ends. A line that is too long is cut: it is no image name anyway.
fn each_line(mut answer: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
    let unreadable =
        |source| Error::File { action: "read", path: "standard input".into(), source, hint: String::new() };
    let mut input = io::BufReader::with_capacity(1 << 20, io::stdin().lock());
    let mut partial: Vec<u8> = Vec::new();
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        if buffer.is_empty() {
            break;
        }
        let length = buffer.len();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', buffer) {
            let line = &buffer[start..end];
            if partial.is_empty() {
                answer(line.strip_suffix(b"\r").unwrap_or(line))?;
            } else {
                keep(&mut partial, line);
                answer(partial.strip_suffix(b"\r").unwrap_or(&partial))?;
                partial.clear();
            }
            start = end + 1;
        }
        keep(&mut partial, &buffer[start..]);
        input.consume(length);
    }
    if !partial.is_empty() {
        answer(&partial)?;
    }
    Ok(())
}

fn keep(partial: &mut Vec<u8>, more: &[u8]) {
    let room = LONGEST_LINE.saturating_sub(partial.len());
    partial.extend_from_slice(&more[..more.len().min(room)]);
}
