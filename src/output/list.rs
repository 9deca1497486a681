//! Documents with one long list in them, written item by item: the same bytes as [`super::json`] and [`super::yaml`] make of the whole,
//! without having all of it in memory.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Terminal, commands_terminal, json};
use crate::files::yaml::{bears_blocks, emit_part};
use crate::model::parallel;
use crate::model::safe_text::{has_escape, without_private_keys};

/// As JSON. `frame` is the document with nothing in its top-level list `list`.
pub fn json_list<T: Serialize + Sync>(
    frame: &impl Serialize,
    list: &str,
    items: &[T],
    t: &mut Terminal,
) -> io::Result<()> {
    let frame = json(frame, true)?;
    // No text has a line end in it, so nothing but the list itself looks like this.
    let empty = format!("\n  \"{list}\": []");
    let Some((head, tail)) = frame.split_once(&empty).filter(|_| !items.is_empty()) else {
        t.write_raw(&frame)?;
        return t.end_line();
    };
    t.write_raw(&format!("{head}\n  \"{list}\": ["))?;
    let mut comma = "";
    let write = |text: String| {
        t.write_raw(std::mem::replace(&mut comma, ","))?;
        for line in text.lines() {
            t.write_raw("\n    ")?;
            t.write_raw(line)?;
        }
        Ok(())
    };
    parallel::in_order(items, |item| json(item, true), write)?;
    t.write_raw(&format!("\n  ]{tail}"))?;
    t.end_line()
}

/// As YAML. `frame` is the document with nothing in its top-level list `list`.
pub fn yaml_list<T: Serialize + Sync>(
    frame: &impl Serialize,
    list: &str,
    items: &[T],
    t: &mut Terminal,
) -> io::Result<()> {
    let framed = without_private_keys(frame)?;
    let doubtful = doubtful_items(items)?;
    let blocks = bears_blocks(&framed) && doubtful.iter().all(bears_blocks);
    let text = emit_part(&framed, blocks);
    let part =
        |item: Value| emit_part(&Value::Object(Map::from_iter([(list.to_owned(), Value::from(vec![item]))])), blocks);
    if commands_terminal(&text) || doubtful.into_iter().any(|item| commands_terminal(&part(item))) {
        return json_list(frame, list, items, t);
    }
    let empty = format!("\n{list}: []\n");
    let Some((head, tail)) = text.split_once(&empty).filter(|_| !items.is_empty()) else {
        return t.write_raw(&text);
    };
    t.write_raw(&format!("{head}\n{list}:\n"))?;
    let write = |text: String| t.write_raw(text.split_once('\n').map_or("", |(_, item)| item));
    parallel::in_order(items, |item| Ok(part(without_private_keys(item)?)), write)?;
    t.write_raw(tail)
}

/// Those with tabs, or with characters that JSON escapes: few, unless somebody means harm.
fn doubtful_items<T: Serialize + Sync>(items: &[T]) -> io::Result<Vec<Value>> {
    let doubt = |item: &T| {
        let is_doubtful = has_escape(item, b"utbfr")?;
        is_doubtful.then(|| without_private_keys(item)).transpose()
    };
    let mut doubtful = Vec::new();
    parallel::in_order(items, doubt, |item| {
        doubtful.extend(item);
        Ok(())
    })?;
    Ok(doubtful)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(write: impl FnOnce(&mut Terminal) -> io::Result<()>) -> String {
        let sink = Sink::default();
        let mut t = Terminal::to(Box::new(sink.clone()), 80);
        write(&mut t).and_then(|()| t.flush()).unwrap();
        String::from_utf8(sink.0.take()).unwrap()
    }

    #[test]
    fn the_same_bytes_as_of_the_whole() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
        let plain =
            json!({"code": "IMP101", "help": "two\nlines", "object": {"name": "y", "list": []}, "related": [{"a": 1}]});
        let lists = [
            vec![],
            vec![plain.clone()],
            vec![plain.clone(), json!({"findings": [], "text": "\nfindings: []\n"}), json!("on"), json!([]), json!({})],
            vec![plain.clone(), json!({"text": "a\tb\nc"}), json!({"text": "a\nb"})],
            vec![json!({"text": key, "other": "a\nb"}), plain.clone()],
            vec![plain.clone(), json!({"text": "\u{202e}evil\u{1b}[0m"})],
            vec![json!({"text": "\u{7}\u{0}\r\n  leading\n\n"}), json!({"text": "# c: 'd' \"e\" \\u"})],
        ];
        for items in lists {
            let document = |items: &[Value]| json!({"kind": "LintReport", "gaps": [{"findings": []}], "findings": items, "summary": {"error": 1}, "rules": []});
            let (frame, whole) = (document(&[]), document(&items));
            assert_eq!(
                written(|t| json_list(&frame, "findings", &items, t)),
                super::json(&whole, true).unwrap() + "\n"
            );
            assert_eq!(written(|t| yaml_list(&frame, "findings", &items, t)), crate::output::yaml(&whole).unwrap());
        }
    }
}
