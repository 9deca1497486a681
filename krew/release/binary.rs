//! What a program file says of itself: the platform that it is for, whether it needs a loader, and the list of the crates in it that
//! cargo-auditable adds. Formats: the ELF-64 object file format, Microsoft's PE format, Apple's `mach-o/loader.h`.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde_json::Value;

use crate::fault::{Fault, Result};

/// A program, read from its headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Binary<'a> {
    /// `linux`, `windows`, `darwin`.
    pub os: &'static str,
    /// `amd64`, or the number that the header has for a processor that is not known here.
    pub arch: String,
    /// Whether it asks for a dynamic loader (ELF only).
    pub needs_loader: bool,
    /// Whether the system would start it; otherwise it is a library, or a part of a program.
    pub starts: bool,
    /// The section of cargo-auditable, as it stands in the file.
    audit: Option<&'a [u8]>,
}

/// # Errors
/// Where this is no 64-bit program in one of the three formats, or one that ends in its headers.
pub fn read(bytes: &[u8]) -> Result<Binary<'_>> {
    let file = Bytes(bytes);
    let binary = if bytes.starts_with(b"\x7fELF") {
        elf(file)
    } else if bytes.starts_with(b"MZ") {
        pe(file)
    } else if bytes.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) {
        mach_o(file)
    } else {
        return Err(Fault::new("this is no program: neither ELF nor PE nor Mach-O"));
    };
    binary.ok_or_else(|| Fault::new("the program is damaged: its headers point outside of it"))
}

const AUDIT_SECTION: &[u8] = b".dep-v0";
const MOST_CRATES: u64 = 8 << 20;

impl Binary<'_> {
    /// The names and versions of the crates that it is built from.
    ///
    /// # Errors
    /// Where there is no list, or none that can be read.
    pub fn crates(&self) -> Result<Vec<(String, String)>> {
        let audit = self.audit.ok_or_else(|| {
            Fault::new("the program has no list of its crates (section .dep-v0)").hint("build it with cargo-auditable")
        })?;
        let mut json = Vec::new();
        let damaged = || Fault::new("the program's list of crates (section .dep-v0) cannot be read");
        ZlibDecoder::new(audit).take(MOST_CRATES).read_to_end(&mut json).map_err(|_| damaged())?;
        let list: Value = serde_json::from_slice(&json).map_err(|_| damaged())?;
        let text = |package: &Value, field| Some(package.get(field)?.as_str()?.to_owned());
        let packages = list.get("packages").and_then(Value::as_array).ok_or_else(damaged)?;
        packages
            .iter()
            .map(|package| Some((text(package, "name")?, text(package, "version")?)))
            .collect::<Option<_>>()
            .ok_or_else(damaged)
    }
}

fn elf(file: Bytes<'_>) -> Option<Binary<'_>> {
    const INTERP: u64 = 3;
    if file.byte(4)? != 2 {
        return None;
    }
    let (order, little) = match file.byte(5)? {
        1 => (file, true),
        2 => (file, false),
        _ => return None,
    };
    let number = |at, size| order.number(at, size, little);
    let arch = match (number(18, 2)?, little) {
        (62, true) => "amd64".into(),
        (183, true) => "arm64".into(),
        (21, true) => "ppc64le".into(),
        (22, false) => "s390x".into(),
        (other, _) => format!("ELF machine {other}"),
    };
    let headers = table(number(32, 8)?, number(54, 2)?, number(56, 2)?)?;
    let mut needs_loader = false;
    for header in headers {
        needs_loader |= number(header, 4)? == INTERP;
    }
    let sections: Vec<usize> = table(number(40, 8)?, number(58, 2)?, number(60, 2)?)?.collect();
    let section = |at: usize| {
        let start = usize::try_from(number(at.checked_add(24)?, 8)?).ok()?;
        file.part(start, usize::try_from(number(at.checked_add(32)?, 8)?).ok()?)
    };
    let mut audit = None;
    if let Some(names) = sections.get(usize::try_from(number(62, 2)?).ok()?) {
        let names = section(*names)?;
        for &at in &sections {
            let name = names.get(usize::try_from(number(at, 4)?).ok()?..)?;
            if name.strip_prefix(AUDIT_SECTION).is_some_and(|rest| rest.first() == Some(&0)) {
                audit = Some(section(at)?);
            }
        }
    }
    // ET_EXEC, ET_DYN; a library is the latter, too, without an address to begin at.
    let starts = matches!(number(16, 2)?, 2 | 3) && number(24, 8)? != 0;
    Some(Binary { os: "linux", arch, needs_loader, starts, audit })
}

fn pe(file: Bytes<'_>) -> Option<Binary<'_>> {
    let number = |at, size| file.number(at, size, true);
    let header = usize::try_from(number(60, 4)?).ok()?;
    if file.part(header, 4)? != b"PE\0\0" {
        return None;
    }
    let of_header = |offset: usize, size| number(header.checked_add(offset)?, size);
    let arch = match of_header(4, 2)? {
        0x8664 => "amd64".into(),
        0xaa64 => "arm64".into(),
        other => format!("PE machine {other:#x}"),
    };
    let first = u64::try_from(header).ok()?.checked_add(24)?.checked_add(of_header(20, 2)?)?;
    let mut audit = None;
    for at in table(first, 40, of_header(6, 2)?)? {
        if file.part(at, 8)? == b".dep-v0\0" {
            // The section is padded to a multiple of the file's alignment; zlib knows where it ends.
            let size = usize::try_from(number(at.checked_add(16)?, 4)?).ok()?;
            audit = Some(file.part(usize::try_from(number(at.checked_add(20)?, 4)?).ok()?, size)?);
        }
    }
    // IMAGE_FILE_EXECUTABLE_IMAGE without IMAGE_FILE_DLL.
    let starts = of_header(22, 2)? & 0x2002 == 0x0002;
    Some(Binary { os: "windows", arch, needs_loader: false, starts, audit })
}

fn mach_o(file: Bytes<'_>) -> Option<Binary<'_>> {
    const SEGMENT_64: u64 = 0x19;
    let number = |at, size| file.number(at, size, true);
    let arch = match number(4, 4)? {
        0x0100_0007 => "amd64".into(),
        0x0100_000c => "arm64".into(),
        other => format!("Mach-O processor {other:#x}"),
    };
    let mut audit = None;
    let mut at: usize = 32;
    for _ in 0..number(16, 4)? {
        let size = usize::try_from(number(at.checked_add(4)?, 4)?).ok()?;
        if number(at, 4)? == SEGMENT_64 {
            let first = u64::try_from(at).ok()?.checked_add(72)?;
            for section in table(first, 80, number(at.checked_add(64)?, 4)?)? {
                if file.part(section, 16)?.strip_prefix(AUDIT_SECTION).is_some_and(|rest| rest.first() == Some(&0)) {
                    let size = usize::try_from(number(section.checked_add(40)?, 8)?).ok()?;
                    let start = usize::try_from(number(section.checked_add(48)?, 4)?).ok()?;
                    audit = Some(file.part(start, size)?);
                }
            }
        }
        // A command of no size would never end.
        at = at.checked_add(size.max(8))?;
    }
    // MH_EXECUTE
    let starts = number(12, 4)? == 2;
    Some(Binary { os: "darwin", arch, needs_loader: false, starts, audit })
}

/// Where the rows of a table begin.
fn table(start: u64, size: u64, count: u64) -> Option<impl Iterator<Item = usize>> {
    let [start, size, count] = [start, size, count].map(|number| usize::try_from(number).ok());
    let (start, size, count) = (start?, size?, count?);
    start.checked_add(size.checked_mul(count)?)?;
    Some((0..count).map(move |row| start + row * size))
}

#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn part(self, start: usize, size: usize) -> Option<&'a [u8]> {
        self.0.get(start..start.checked_add(size)?)
    }

    fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn number(self, at: usize, size: usize, little: bool) -> Option<u64> {
        let bytes = self.part(at, size)?.iter();
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if little { bytes.rev().fold(0, add) } else { bytes.fold(0, add) })
    }
}

/// Programs that are nothing but headers, for tests.
#[cfg(test)]
pub mod headers {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    /// The section of cargo-auditable with one crate.
    pub fn audit(version: &str) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        write!(zlib, r#"{{"packages":[{{"name":"oc-imagepolicy","version":"{version}"}}]}}"#).unwrap();
        zlib.finish().unwrap()
    }

    /// ELF-64 with a program header of this type and the section, if there is one.
    pub fn elf(machine: u16, little: bool, program_header: u32, audit: Option<&[u8]>) -> Vec<u8> {
        let number = |bytes: &mut Vec<u8>, value: u64, size: usize| {
            if little {
                bytes.extend(&value.to_le_bytes()[..size]);
            } else {
                bytes.extend(&value.to_be_bytes()[8 - size..]);
            }
        };
        let names = b"\0.shstrtab\0.dep-v0\0";
        let data = audit.unwrap_or_default();
        let mut bytes = b"\x7fELF\x02".to_vec();
        bytes.extend([if little { 1 } else { 2 }, 1]);
        bytes.resize(16, 0);
        let sections = (64 + 56 + names.len() + data.len()) as u64;
        for (value, size) in [(2, 2), (u64::from(machine), 2), (1, 4), (0x1000, 8), (64, 8), (sections, 8), (0, 4)] {
            number(&mut bytes, value, size);
        }
        for value in [64, 56, 1, 64, if audit.is_some() { 3 } else { 2 }, 1] {
            number(&mut bytes, value, 2);
        }
        number(&mut bytes, u64::from(program_header), 4);
        bytes.resize(64 + 56, 0);
        bytes.extend(names);
        bytes.extend(data);
        bytes.extend([0; 64]);
        let mut section = |name: u64, start: usize, size: usize| {
            let end = bytes.len() + 64;
            for (value, size) in [(name, 4), (1, 4), (0, 8), (0, 8), (start as u64, 8), (size as u64, 8)] {
                number(&mut bytes, value, size);
            }
            bytes.resize(end, 0);
        };
        section(1, 120, names.len());
        section(11, 120 + names.len(), data.len());
        bytes
    }

    pub fn pe(machine: u16, audit: &[u8]) -> Vec<u8> {
        let mut bytes = b"MZ".to_vec();
        bytes.resize(60, 0);
        bytes.extend(64_u32.to_le_bytes());
        bytes.extend(b"PE\0\0");
        bytes.extend(machine.to_le_bytes());
        bytes.extend(1_u16.to_le_bytes());
        bytes.resize(64 + 22, 0);
        bytes.extend(0x0022_u16.to_le_bytes());
        bytes.extend(b".dep-v0\0");
        bytes.extend([0; 8]);
        bytes.extend((audit.len() as u32).to_le_bytes());
        bytes.extend(128_u32.to_le_bytes());
        bytes.resize(128, 0);
        bytes.extend(audit);
        bytes
    }

    pub fn mach_o(processor: u32, audit: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xcf, 0xfa, 0xed, 0xfe];
        bytes.extend(processor.to_le_bytes());
        bytes.resize(12, 0);
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.resize(32, 0);
        bytes.extend(0x19_u32.to_le_bytes());
        bytes.extend(152_u32.to_le_bytes());
        bytes.resize(32 + 64, 0);
        bytes.extend(1_u32.to_le_bytes());
        bytes.resize(32 + 72, 0);
        bytes.extend(b".dep-v0\0");
        bytes.resize(32 + 72 + 40, 0);
        bytes.extend((audit.len() as u64).to_le_bytes());
        bytes.extend(184_u32.to_le_bytes());
        bytes.resize(184, 0);
        bytes.extend(audit);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_tell_the_platform_and_the_crates() {
        let audit = headers::audit("1.2.3");
        for (program, os, arch, needs_loader) in [
            (headers::elf(62, true, 1, Some(&audit)), "linux", "amd64", false),
            (headers::elf(183, true, 3, Some(&audit)), "linux", "arm64", true),
            (headers::elf(21, true, 3, Some(&audit)), "linux", "ppc64le", true),
            (headers::elf(22, false, 3, Some(&audit)), "linux", "s390x", true),
            (headers::elf(22, true, 1, Some(&audit)), "linux", "ELF machine 22", false),
            (headers::elf(40, true, 1, Some(&audit)), "linux", "ELF machine 40", false),
            (headers::pe(0x8664, &audit), "windows", "amd64", false),
            (headers::pe(0x14c, &audit), "windows", "PE machine 0x14c", false),
            (headers::mach_o(0x0100_0007, &audit), "darwin", "amd64", false),
            (headers::mach_o(0x0100_000c, &audit), "darwin", "arm64", false),
        ] {
            let binary = read(&program).unwrap();
            assert_eq!((binary.os, binary.arch.as_str(), binary.needs_loader), (os, arch, needs_loader));
            assert!(binary.starts, "{os}/{arch}");
            // The kind of file: object or library.
            let kind = match os {
                "linux" => (16, [1, 1]),
                "windows" => (64 + 22, [0x22, 0x20]),
                _ => (12, [6, 0]),
            };
            let mut library = program.clone();
            library[kind.0..kind.0 + 2].copy_from_slice(&kind.1);
            assert!(!read(&library).unwrap().starts, "{os}/{arch}");
            assert_eq!(binary.crates().unwrap(), [("oc-imagepolicy".to_owned(), "1.2.3".to_owned())]);
            // What is cut off is missed, but for the last bytes of a table that nobody asks for.
            for end in 0..program.len() - 24 {
                assert!(read(&program[..end]).and_then(|binary| binary.crates()).is_err(), "{os}/{arch} cut at {end}");
            }
        }
        assert!(read(&headers::elf(62, true, 1, None)).unwrap().crates().is_err());
        assert!(read(&headers::pe(0x8664, b"not zlib")).unwrap().crates().is_err());
    }

    #[test]
    fn the_program_of_this_test_is_for_this_machine() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let binary = read(&bytes).unwrap();
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            assert_eq!((binary.os, binary.arch.as_str(), binary.needs_loader), ("linux", "amd64", true));
        }
        assert!(binary.crates().unwrap_err().message.contains("no list of its crates"));
    }

    #[test]
    fn a_program_cut_or_changed_anywhere_in_its_headers_does_no_harm() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let head = &bytes[..bytes.len().min(1024)];
        assert!(read(head).is_err(), "its sections are missing");
        for at in 0..head.len() {
            let _ = read(&head[..at]);
            for value in [0, 0x7f, 0xff] {
                let mut changed = head.to_vec();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
        for magic in [b"\x7fELF\x02\x01".as_slice(), b"\x7fELF\x02\x02", b"MZ", &[0xcf, 0xfa, 0xed, 0xfe]] {
            for fill in [0, 1, 0xff] {
                let mut program = vec![fill; 512];
                program[..magic.len()].copy_from_slice(magic);
                if let Ok(binary) = read(&program) {
                    assert!(binary.crates().is_err());
                }
            }
        }
        assert!(read(b"#!/bin/sh").is_err());
        assert!(read(b"").is_err());
    }
}
