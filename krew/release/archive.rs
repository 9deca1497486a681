//! An archive of a release: one directory of the archive's own name, with the program and what belongs to it. What is read here may
//! come from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use zip::CompressionMethod;
use zip::read::ZipArchive;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::binary;
use crate::fault::{Fault, Result};
use crate::platform::Platform;

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub content: Vec<u8>,
    pub executable: bool,
}

/// Files by their path below the one directory: `oc-imagepolicy`, `man/oc-imagepolicy.1`.
pub type Entries = BTreeMap<String, Entry>;

/// An archive that could be read to its end, with nothing in it but files in the one directory.
#[derive(Debug)]
pub struct Archive {
    /// `oc-imagepolicy-v0.1.0-linux-amd64.tar.gz`
    pub name: String,
    pub platform: &'static Platform,
    /// Without a `v`.
    pub version: String,
    /// Of the archive, in lower-case hexadecimal digits.
    pub sha256: String,
    pub files: Entries,
}

const LARGEST_ARCHIVE: u64 = 128 << 20;
const LARGEST_CONTENT: u64 = 512 << 20;
const MOST_FILES: usize = 1000;

/// Reads an archive.
///
/// # Errors
/// Where its name stands for no platform, it is damaged or too large, or holds anything but plain files in the directory of its name.
pub fn read(path: &Path) -> Result<Archive> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // Of a file that is none, nothing is read.
    parse_name(name)?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Fault::at(path))?;
    file.take(LARGEST_ARCHIVE + 1).read_to_end(&mut bytes).map_err(Fault::at(path))?;
    of_bytes(name, &bytes)
}

/// The archive that bytes under a name are.
///
/// # Errors
/// As [`read`].
pub fn of_bytes(name: &str, bytes: &[u8]) -> Result<Archive> {
    let (platform, version) = parse_name(name)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > LARGEST_ARCHIVE) {
        return Err(Fault::new(format!("{name}: larger than {} MiB", LARGEST_ARCHIVE >> 20)));
    }
    let stem = platform.stem(version);
    let entries = if platform.suffix() == "zip" { unzip(bytes, &stem) } else { untar(bytes, &stem) };
    Ok(Archive {
        name: name.to_owned(),
        platform,
        version: version.to_owned(),
        sha256: sha256(bytes),
        files: entries.map_err(|fault| fault.within(name))?,
    })
}

fn parse_name(name: &str) -> Result<(&'static Platform, &str)> {
    Platform::of_archive(name).ok_or_else(|| {
        Fault::new(format!("{name:?} is the name of no archive of a release"))
            .hint("as in oc-imagepolicy-v0.1.0-linux-amd64.tar.gz")
    })
}

/// The archives in a directory, in the order of their names.
///
/// # Errors
/// As [`read`], and where there is none.
pub fn read_all(directory: &Path) -> Result<Vec<Archive>> {
    paths(directory)?.iter().map(|path| read(path)).collect()
}

/// The files in a directory that are called as archives are, in the order of their names.
///
/// # Errors
/// Where there is none.
pub fn paths(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(Fault::at(directory))? {
        let path = entry.map_err(Fault::at(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".tar.gz") || name.ends_with(".zip") {
            paths.insert(path);
        }
    }
    if paths.is_empty() {
        return Err(Fault::new(format!("{}: there is no archive in it", directory.display()))
            .hint("cargo run --example release -- build"));
    }
    Ok(paths.into_iter().collect())
}

const DOCUMENTS: &[&str] = &["LICENSE", "README.md", "THIRD-PARTY-LICENSES.txt", "sbom.cdx.json"];

/// `man/oc-imagepolicy-lint.1`; in lower case, so that no two are one file where names have no case.
fn is_man_page(path: &str) -> bool {
    let command = path.strip_prefix("man/oc-imagepolicy").and_then(|rest| rest.strip_suffix(".1"));
    command.is_some_and(|command| command.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
}

impl Archive {
    /// The content of a file of the archive, by its path below the directory.
    ///
    /// # Errors
    /// Where the archive does not have it, or has it without a byte in it.
    pub fn file(&self, path: &str) -> Result<&Entry> {
        let entry =
            self.files.get(path).ok_or_else(|| Fault::new(format!("{}: {path} is missing in it", self.name)))?;
        if entry.content.is_empty() {
            return Err(Fault::new(format!("{}: {path} is empty", self.name)));
        }
        Ok(entry)
    }

    /// Whether it holds what an archive of its name must hold.
    ///
    /// # Errors
    /// With the first thing that is missing or wrong.
    pub fn verify(&self, license: &[u8]) -> Result<()> {
        let wrong = |what: String| Err(Fault::new(format!("{}: {what}", self.name)));
        if self.file("LICENSE")?.content != license {
            return wrong("its LICENSE is not the one of this repository".into());
        }
        for path in DOCUMENTS.iter().copied().chain(["man/oc-imagepolicy.1"]) {
            self.file(path)?;
        }
        let platform = self.platform;
        let program = self.file(platform.binary())?;
        if !program.executable {
            return wrong(format!("{} is not executable", platform.binary()));
        }
        for (path, entry) in self.files.iter().filter(|(path, _)| *path != platform.binary()) {
            if entry.executable {
                return wrong(format!("{path} is executable"));
            }
            // krew installs whatever is in it.
            if !DOCUMENTS.contains(&path.as_str()) && !is_man_page(path) {
                return wrong(format!("{path} does not belong in it"));
            }
        }
        let binary =
            binary::read(&program.content).map_err(|fault| fault.within(platform.binary()).within(&self.name))?;
        if (binary.os, binary.arch.as_str()) != (platform.os, platform.arch) {
            return wrong(format!(
                "{} is for {}/{}, not for {}/{}",
                platform.binary(),
                binary.os,
                binary.arch,
                platform.os,
                platform.arch
            ));
        }
        if !binary.starts {
            return wrong(format!("{} is a library or a part of a program: nothing starts it", platform.binary()));
        }
        if platform.is_static() && binary.needs_loader {
            return wrong(format!("{} is not static: it asks for a dynamic loader", platform.binary()));
        }
        let crates = binary.crates().map_err(|fault| fault.within(platform.binary()).within(&self.name))?;
        if !crates.iter().any(|(name, version)| name == "oc-imagepolicy" && *version == self.version) {
            return wrong(format!("{} is not oc-imagepolicy {}", platform.binary(), self.version));
        }
        Ok(())
    }
}

/// The bytes of an archive: the same files, version and time give the same bytes.
///
/// # Errors
/// Where the time cannot be written.
pub fn pack(platform: &Platform, version: &str, files: &Entries, seconds: u64) -> Result<Vec<u8>> {
    let stem = platform.stem(version);
    if platform.suffix() == "zip" { zip(&stem, files, seconds) } else { tar(&stem, files, seconds) }
}

pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The directories that files are in, each before what is in it.
fn directories(stem: &str, files: &Entries) -> BTreeSet<String> {
    let mut directories = BTreeSet::from([format!("{stem}/")]);
    for path in files.keys() {
        let slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
        directories.extend(slashes.map(|at| format!("{stem}/{}/", &path[..at])));
    }
    directories
}

fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

fn tar(stem: &str, files: &Entries, seconds: u64) -> Result<Vec<u8>> {
    let packed = |error: std::io::Error| Fault::new(format!("cannot pack {stem}: {error}"));
    let header = |size: usize, mode: u32| {
        let mut header = tar::Header::new_ustar();
        header.set_mtime(seconds);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size as u64);
        header
    };
    // A gzip header without a name and a time.
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for directory in directories(stem, files) {
        let mut header = header(0, 0o755);
        header.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut header, &directory, &[][..]).map_err(packed)?;
    }
    for (path, entry) in files {
        let mut header = header(entry.content.len(), mode(entry.executable));
        tar.append_data(&mut header, format!("{stem}/{path}"), entry.content.as_slice()).map_err(packed)?;
    }
    tar.into_inner().and_then(GzEncoder::finish).map_err(packed)
}

fn zip(stem: &str, files: &Entries, seconds: u64) -> Result<Vec<u8>> {
    let packed = |error: &dyn std::fmt::Display| Fault::new(format!("cannot pack {stem}: {error}"));
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = time.map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).datetime());
    let time = time.and_then(|time| {
        let [month, day, hour, minute, second] =
            [time.month(), time.day(), time.hour(), time.minute(), time.second()].map(i8::unsigned_abs);
        zip::DateTime::from_date_and_time(u16::try_from(time.year()).ok()?, month, day, hour, minute, second).ok()
    });
    let time = time.ok_or_else(|| packed(&"its time is not between 1980 and 2107"))?;
    let options = |mode: u32| {
        SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(time)
            .unix_permissions(mode)
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for directory in directories(stem, files) {
        zip.add_directory(directory, options(0o755)).map_err(|error| packed(&error))?;
    }
    for (path, entry) in files {
        zip.start_file(format!("{stem}/{path}"), options(mode(entry.executable))).map_err(|error| packed(&error))?;
        zip.write_all(&entry.content).map_err(|error| packed(&error))?;
    }
    zip.finish().map(Cursor::into_inner).map_err(|error| packed(&error))
}

fn damaged(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(format!("the archive is damaged: {error}"))
}

fn untar(bytes: &[u8], stem: &str) -> Result<Entries> {
    let mut tar_bytes = Vec::new();
    let mut gzip = GzDecoder::new(bytes);
    (&mut gzip).take(LARGEST_CONTENT + 1).read_to_end(&mut tar_bytes).map_err(|error| damaged(&error))?;
    if u64::try_from(tar_bytes.len()).is_ok_and(|size| size > LARGEST_CONTENT) {
        return Err(too_much());
    }
    if !gzip.into_inner().is_empty() {
        return Err(damaged(&"there is something behind its end"));
    }
    let mut tar = tar::Archive::new(tar_bytes.as_slice());
    let mut unpacked = Unpacked::new(stem);
    for entry in tar.entries().map_err(|error| damaged(&error))? {
        let mut entry = entry.map_err(|error| damaged(&error))?;
        let kind = entry.header().entry_type();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if kind.is_dir() {
            unpacked.directory(&name)?;
            continue;
        }
        if kind != tar::EntryType::Regular {
            return Err(Fault::new(format!("{name:?} in it is neither a file nor a directory")));
        }
        let executable = is_executable(&name, entry.header().mode().map_err(|error| damaged(&error))?)?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| damaged(&error))?;
        unpacked.file(&name, Entry { content, executable })?;
    }
    if !tar_bytes.ends_with(&[0; 1024]) {
        return Err(damaged(&"it has no end"));
    }
    if tar.into_inner().iter().any(|byte| *byte != 0) {
        return Err(damaged(&"there is something behind the end of its files"));
    }
    unpacked.finish()
}

fn unzip(bytes: &[u8], stem: &str) -> Result<Entries> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    if zip.has_duplicate_names() {
        return Err(Fault::new("a file is in it twice"));
    }
    let mut unpacked = Unpacked::new(stem);
    let mut left = LARGEST_CONTENT;
    for index in 0..zip.len() {
        let file = zip.by_index(index).map_err(|error| damaged(&error))?;
        let name = String::from_utf8_lossy(file.name_raw()).into_owned();
        let mode = file.unix_mode();
        if file.is_dir() {
            unpacked.directory(&name)?;
            continue;
        }
        let mode = mode.unwrap_or(0o100_644);
        let kind = mode & 0o170_000;
        if kind != 0o100_000 && kind != 0 {
            return Err(Fault::new(format!("{name:?} in it is neither a file nor a directory")));
        }
        let executable = is_executable(&name, mode & !kind)?;
        let mut content = Vec::new();
        file.take(left + 1).read_to_end(&mut content).map_err(|error| damaged(&error))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(too_much)?;
        unpacked.file(&name, Entry { content, executable })?;
    }
    unpacked.finish()
}

/// krew gives a file the permissions that the archive has for it, those to run it as somebody else and to change it included.
fn is_executable(name: &str, found: u32) -> Result<bool> {
    if [mode(true), mode(false)].contains(&found) {
        return Ok(found == mode(true));
    }
    Err(Fault::new(format!("{name:?} in it has the permissions {found:04o}, not 0755 or 0644")))
}

fn too_much() -> Fault {
    Fault::new(format!("there is more than {} MiB in it", LARGEST_CONTENT >> 20))
}

/// What came out of an archive so far.
struct Unpacked<'a> {
    stem: &'a str,
    files: Entries,
    directories: BTreeSet<String>,
}

impl<'a> Unpacked<'a> {
    fn new(stem: &'a str) -> Self {
        Self { stem, files: Entries::new(), directories: BTreeSet::new() }
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        let path = name.strip_suffix('/').unwrap_or(name);
        if path != self.stem {
            self.below(path)?;
        }
        self.directories.insert(path.to_owned());
        self.bounded()
    }

    fn file(&mut self, name: &str, entry: Entry) -> Result<()> {
        let path = self.below(name)?;
        if self.files.insert(path, entry).is_some() {
            return Err(Fault::new(format!("{name:?} is in it twice")));
        }
        self.bounded()
    }

    /// The path below the one directory.
    fn below(&self, name: &str) -> Result<String> {
        let path = name.strip_prefix(self.stem).and_then(|rest| rest.strip_prefix('/')).ok_or_else(|| {
            Fault::new(format!("{name:?} in it is not in the directory {}", self.stem))
                .hint("everything in an archive is in one directory that is called as the archive is")
        })?;
        let is_name = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if path.split('/').all(is_name) {
            return Ok(path.to_owned());
        }
        Err(Fault::new(format!("{name:?} in it is no path that a release has")))
    }

    fn bounded(&self) -> Result<()> {
        if self.files.len() + self.directories.len() > MOST_FILES {
            return Err(Fault::new(format!("there are more than {MOST_FILES} files in it")));
        }
        Ok(())
    }

    fn finish(self) -> Result<Entries> {
        let inner = |path: &String| path.strip_prefix(self.stem).is_some_and(|rest| rest.starts_with('/'));
        for directory in self.directories.iter().filter(|path| inner(path)) {
            let path = &directory[self.stem.len() + 1..];
            if self.files.contains_key(path) {
                return Err(Fault::new(format!("{directory:?} in it is a file and a directory")));
            }
        }
        if self.files.is_empty() {
            return Err(Fault::new("there is no file in it"));
        }
        Ok(self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::headers;
    use crate::platform::PLATFORMS;

    const LICENSE: &[u8] = b"Apache License\n";

    fn entry(content: &[u8]) -> Entry {
        Entry { content: content.to_vec(), executable: false }
    }

    fn program(platform: &Platform) -> Vec<u8> {
        let audit = headers::audit("1.2.3");
        let loader = if platform.is_static() { 1 } else { 3 };
        match (platform.os, platform.arch) {
            ("windows", _) => headers::pe(0x8664, &audit),
            ("darwin", "amd64") => headers::mach_o(0x0100_0007, &audit),
            ("darwin", _) => headers::mach_o(0x0100_000c, &audit),
            (_, "amd64") => headers::elf(62, true, loader, Some(&audit)),
            (_, "arm64") => headers::elf(183, true, loader, Some(&audit)),
            (_, "ppc64le") => headers::elf(21, true, loader, Some(&audit)),
            _ => headers::elf(22, false, loader, Some(&audit)),
        }
    }

    fn files(platform: &Platform) -> Entries {
        let names = ["README.md", "THIRD-PARTY-LICENSES.txt", "sbom.cdx.json", "man/oc-imagepolicy.1"];
        let mut files: Entries = names.iter().map(|name| ((*name).to_owned(), entry(name.as_bytes()))).collect();
        files.insert("LICENSE".into(), entry(LICENSE));
        files.insert(platform.binary().into(), Entry { content: program(platform), executable: true });
        files
    }

    /// What becomes of bytes under the name of a platform's archive.
    fn verified(platform: &Platform, bytes: &[u8]) -> Result<Archive> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(platform.archive("1.2.3"));
        fs::write(&path, bytes).unwrap();
        let archive = read(&path)?;
        archive.verify(LICENSE)?;
        Ok(archive)
    }

    fn refused(platform: &Platform, bytes: &[u8], reason: &str) {
        let message = verified(platform, bytes).expect_err(reason).message;
        assert!(message.contains(reason), "{message}\nis not about {reason}");
        assert!(message.contains(&platform.archive("1.2.3")), "{message}");
    }

    #[test]
    fn what_is_packed_is_read_again_and_the_same_each_time() {
        for platform in PLATFORMS {
            let files = files(platform);
            let bytes = pack(platform, "1.2.3", &files, 1_790_000_000).unwrap();
            assert_eq!(bytes, pack(platform, "1.2.3", &files, 1_790_000_000).unwrap());
            assert_ne!(bytes, pack(platform, "1.2.3", &files, 1_790_000_002).unwrap());
            let archive = verified(platform, &bytes).unwrap();
            assert_eq!(archive.files, files);
            assert_eq!((archive.platform, archive.version.as_str()), (platform, "1.2.3"));
            assert_eq!(archive.sha256, sha256(&bytes));
        }
    }

    #[test]
    fn an_archive_without_what_belongs_in_it_is_refused() {
        for platform in PLATFORMS {
            let packed = |change: &dyn Fn(&mut Entries)| {
                let mut files = files(platform);
                change(&mut files);
                pack(platform, "1.2.3", &files, 1_790_000_000).unwrap()
            };
            for path in files(platform).into_keys() {
                refused(platform, &packed(&|files| _ = files.remove(&path)), &format!("{path} is missing"));
                let empty = packed(&|files| files.get_mut(&path).unwrap().content.clear());
                refused(platform, &empty, if path == "LICENSE" { "LICENSE is empty" } else { "is empty" });
            }
            let binary = platform.binary();
            let with = |content: &[u8]| {
                packed(&|files| _ = files.insert(binary.into(), Entry { content: content.to_vec(), executable: true }))
            };
            refused(platform, &packed(&|files| _ = files.insert("LICENSE".into(), entry(b"MIT"))), "not the one of");
            refused(platform, &packed(&|files| files.get_mut(binary).unwrap().executable = false), "not executable");
            refused(platform, &packed(&|files| files.get_mut("LICENSE").unwrap().executable = true), "is executable");
            refused(platform, &with(b"#!/bin/sh\n"), "no program");
            for other in PLATFORMS.iter().filter(|other| (other.os, other.arch) != (platform.os, platform.arch)) {
                refused(platform, &with(&program(other)), "not for");
            }
        }
    }

    #[test]
    fn a_program_without_its_crates_of_another_version_or_with_a_loader_is_refused() {
        let platform = &PLATFORMS[0];
        let with = |content: Vec<u8>| {
            let mut files = files(platform);
            files.insert("oc-imagepolicy".into(), Entry { content, executable: true });
            pack(platform, "1.2.3", &files, 0).unwrap()
        };
        refused(platform, &with(headers::elf(62, true, 3, Some(&headers::audit("1.2.3")))), "not static");
        refused(platform, &with(headers::elf(62, true, 1, None)), "no list of its crates");
        refused(
            platform,
            &with(headers::elf(62, true, 1, Some(&headers::audit("1.2.4")))),
            "is not oc-imagepolicy 1.2.3",
        );
    }

    #[test]
    fn only_what_belongs_in_it_with_plain_permissions_is_taken() {
        for platform in PLATFORMS {
            for path in ["license", "notes.txt", "bin/oc-imagepolicy", "man/OC-imagepolicy.1", "man/oc-imagepolicy.sh"]
            {
                let mut files = files(platform);
                files.insert(path.into(), entry(b"x"));
                let bytes = pack(platform, "1.2.3", &files, 1_790_000_000).unwrap();
                refused(platform, &bytes, &format!("{path} does not belong in it"));
            }
            let stem = platform.stem("1.2.3");
            for mode in [0o777, 0o666, 0o600, 0, 0o4755, 0o2755, 0o1644] {
                let bytes = if platform.suffix() == "zip" {
                    // The reader takes away what Windows does not have.
                    if mode > 0o777 {
                        continue;
                    }
                    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
                    zip.start_file(format!("{stem}/LICENSE"), SimpleFileOptions::default()).unwrap();
                    zip.write_all(LICENSE).unwrap();
                    let mut bytes = zip.finish().unwrap().into_inner();
                    // The writer takes no such mode: the upper half of the external attributes, in the central directory.
                    let at = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
                    bytes[at + 5] = 3;
                    bytes[at + 40..at + 42].copy_from_slice(&(0o100_000_u16 | mode).to_le_bytes());
                    bytes
                } else {
                    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
                    let mut header = tar::Header::new_ustar();
                    header.set_size(LICENSE.len() as u64);
                    header.set_mode(mode.into());
                    tar.append_data(&mut header, format!("{stem}/LICENSE"), LICENSE).unwrap();
                    tar.into_inner().and_then(GzEncoder::finish).unwrap()
                };
                refused(platform, &bytes, &format!("has the permissions {mode:04o}, not 0755 or 0644"));
            }
        }
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        for platform in PLATFORMS {
            let bytes = pack(platform, "1.2.3", &files(platform), 1_790_000_000).unwrap();
            for end in (0..bytes.len()).step_by(7) {
                refused(platform, &bytes[..end], "damaged");
            }
            // No change in any place is taken for the same archive, and none does harm.
            for at in (0..bytes.len()).step_by(3) {
                let mut changed = bytes.clone();
                changed[at] ^= 0x55;
                assert!(verified(platform, &changed).map_or(true, |archive| archive.sha256 != sha256(&bytes)));
            }
        }
        let platform = &PLATFORMS[0];
        let mut longer = pack(platform, "1.2.3", &files(platform), 0).unwrap();
        longer.extend(b"more");
        refused(platform, &longer, "behind its end");
        refused(platform, b"<html>404</html>", "damaged");
        let mut tar = Vec::new();
        GzDecoder::new(pack(platform, "1.2.3", &files(platform), 0).unwrap().as_slice()).read_to_end(&mut tar).unwrap();
        let gzip = |tar: &[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(tar).unwrap();
            gzip.finish().unwrap()
        };
        refused(platform, &gzip(&tar[..tar.len() - 512]), "it has no end");
        refused(platform, &gzip(&tar.repeat(2)), "behind the end of its files");
    }

    #[test]
    fn nothing_leaves_the_one_directory() {
        let platform = &PLATFORMS[0];
        let stem = platform.stem("1.2.3");
        let other = PLATFORMS[1].stem("1.2.3");
        let tarred = |name: &str, kind: tar::EntryType, link: Option<&str>| {
            let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(if link.is_some() { 0 } else { 1 });
            // As the crate would not write it.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(link) = link {
                header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            }
            header.set_cksum();
            tar.append(&header, &b"x"[..usize::from(link.is_none())]).unwrap();
            tar.into_inner().and_then(GzEncoder::finish).unwrap()
        };
        let file = tar::EntryType::Regular;
        for name in
            ["LICENSE", "/etc/passwd", "../LICENSE", &format!("{stem}x/LICENSE"), &format!("{other}/LICENSE"), &stem]
        {
            refused(platform, &tarred(name, file, None), "is not in the directory");
        }
        for name in ["../x", "a/../../x", ".", "a//b", "a/./b", "a\\b", "c:x", "a b", "\u{1b}[31m"] {
            refused(platform, &tarred(&format!("{stem}/{name}"), file, None), "no path that a release has");
        }
        for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Fifo, tar::EntryType::Char] {
            refused(platform, &tarred(&format!("{stem}/LICENSE"), kind, Some("/etc/passwd")), "neither a file nor");
        }

        let windows = PLATFORMS.iter().find(|platform| platform.os == "windows").unwrap();
        let stem = windows.stem("1.2.3");
        let zipped = |name: &str, link: bool| {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            if link {
                zip.add_symlink(name, "/etc/passwd", SimpleFileOptions::default()).unwrap();
            } else {
                zip.start_file(name, SimpleFileOptions::default()).unwrap();
                zip.write_all(b"x").unwrap();
            }
            zip.finish().unwrap().into_inner()
        };
        for name in ["LICENSE", "/etc/passwd", "../LICENSE"] {
            refused(windows, &zipped(name, false), "is not in the directory");
        }
        for name in ["../x", "..\\x", "a/../../x"] {
            refused(windows, &zipped(&format!("{stem}/{name}"), false), "no path that a release has");
        }
        refused(windows, &zipped(&format!("{stem}/LICENSE"), true), "neither a file nor");
    }

    #[test]
    fn a_file_that_is_in_it_twice_is_refused() {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let platform = &PLATFORMS[0];
        for content in [b"1", b"2"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("{}/LICENSE", platform.stem("1.2.3")), &content[..]).unwrap();
        }
        refused(platform, &tar.into_inner().and_then(GzEncoder::finish).unwrap(), "is in it twice");

        let windows = PLATFORMS.iter().find(|platform| platform.os == "windows").unwrap();
        // The writer takes no name twice.
        let (old, new) = (b"man/oc-imagepolicy.1", b"man/oc-imagepolicy.2");
        let mut files = files(windows);
        files.insert("man/oc-imagepolicy.2".into(), entry(b"2"));
        let mut bytes = pack(windows, "1.2.3", &files, 1_790_000_000).unwrap();
        while let Some(at) = bytes.windows(new.len()).position(|window| window == new) {
            bytes[at..at + old.len()].copy_from_slice(old);
        }
        refused(windows, &bytes, "is in it twice");
    }

    #[test]
    fn an_archive_that_unpacks_without_end_is_refused() {
        let platform = &PLATFORMS[0];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..=LARGEST_CONTENT >> 20 {
            gzip.write_all(&zeros).unwrap();
        }
        refused(platform, &gzip.finish().unwrap(), "more than 512 MiB");
    }
}
