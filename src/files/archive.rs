//! Archives: nothing is ever written to disk, only files of interest are kept, and a bomb ends in an error.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use super::layout::{self, Place};
use super::yaml::Budget;

/// What stands before an entry may be a long name; no real one is as long as this.
const HEADERS: u64 = 1 << 20;
/// From here on, what expands further than [`RATIO`] is no must-gather.
const HARMLESS: u64 = 256 << 20;
const RATIO: u64 = 250;

/// A file, or the name of a directory, that was found in an archive.
pub(super) struct Entry {
    /// Its path there.
    pub path: String,
    /// What it is.
    pub place: Place,
    /// Its content; empty for a directory.
    pub bytes: Vec<u8>,
}

/// What the first bytes of a file say about the rest.
pub(super) enum Format {
    Gzip,
    Tar,
    /// Compressed in a way that is not read here; how to get at it.
    Foreign(&'static str, &'static str),
    Other,
}

/// How many bytes [`format`] looks at.
pub(super) const HEAD: usize = 512;

/// Recognises a file by its first [`HEAD`] bytes.
pub(super) fn format(head: &[u8]) -> Format {
    match head {
        [0x1f, 0x8b, ..] => Format::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Format::Foreign("xz", "xz -dc"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Foreign("zstd", "zstd -dc"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Foreign("bzip2", "bzip2 -dc"),
        [b'P', b'K', 3, 4, ..] => Format::Foreign("zip", "unzip -p"),
        head if is_tar(head) => Format::Tar,
        _ => Format::Other,
    }
}

/// The checksum of a tar header is the sum of its bytes, those of the checksum taken as spaces.
fn is_tar(head: &[u8]) -> bool {
    let (Some(block), Some(field)) = (head.get(..HEAD), head.get(148..156)) else { return false };
    let text = String::from_utf8_lossy(field);
    let Ok(stored) = u32::from_str_radix(text.trim_matches(['\0', ' ']), 8) else { return false };
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = field.iter().map(|byte| u32::from(*byte)).sum();
    sum - own + 8 * u32::from(b' ') == stored
}

/// Everything of interest in an archive, in its order.
///
/// # Errors
/// What cannot be read, is too large, or expands like a bomb.
pub(super) fn entries(reader: impl Read, budget: &Budget) -> io::Result<Vec<Entry>> {
    let allowance = Rc::new(Cell::new(HEADERS));
    let mut archive = tar::Archive::new(Guarded { inner: reader, allowance: allowance.clone() });
    let mut entries = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let stored = if kind.is_gnu_sparse() { entry.header().entry_size()? } else { entry.size() };
        allowance.set(stored.saturating_add(HEADERS));
        let file = kind.is_file() || kind.is_contiguous();
        if !file && !kind.is_dir() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(place) = layout::parts(&path).and_then(|parts| layout::place(&parts, file)) else { continue };
        let mut bytes = Vec::new();
        if file {
            let meter = Metered { inner: &mut entry, budget };
            meter.take(stored).read_to_end(&mut bytes)?;
        }
        entries.push(Entry { path, place, bytes });
    }
    Ok(entries)
}

/// Counts what is read against the budget.
pub(super) struct Metered<'a, R> {
    pub inner: R,
    pub budget: &'a Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.budget.read(read).map_err(too_large)?;
        Ok(read)
    }
}

fn too_large(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Ends the reading where headers and long names take more than they may: the tar reader keeps those in memory.
struct Guarded<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.allowance.get().checked_sub(read as u64) {
            Some(left) => self.allowance.set(left),
            None => return Err(too_large("an entry's header is larger than 1 MiB")),
        }
        Ok(read)
    }
}

/// Decompresses, as long as that stays believable.
pub(super) struct Inflated<R> {
    decoder: MultiGzDecoder<Counted<R>>,
    out: u64,
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Inflated<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { decoder: MultiGzDecoder::new(Counted { inner: reader, read: 0 }), out: 0 }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.out += read as u64;
        if self.out > HARMLESS && self.out / RATIO > self.decoder.get_ref().read {
            return Err(too_large("it expands more than 250-fold, which no must-gather does"));
        }
        Ok(read)
    }
}
