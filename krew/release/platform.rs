//! Every platform that a release has an archive for. The one table: building, checking and the manifests read it.

use std::env;
use std::path::PathBuf;

use crate::fault::{Fault, Result};

/// One archive of a release.
#[derive(Debug, PartialEq, Eq)]
pub struct Platform {
    /// As rustc names it.
    pub triple: &'static str,
    /// As Go, and so krew and the CLI Manager, name it.
    pub os: &'static str,
    pub arch: &'static str,
    /// Whether krew installs there: its validator knows no linux/s390x.
    pub krew: bool,
    pub linker: Linker,
    /// The processor as qemu names it; empty where it emulates none of it.
    qemu: &'static str,
}

/// What links a program for a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linker {
    /// zig's, on every machine: static, with musl.
    Zig,
    /// zig's, against a glibc of this version: no musl is to be had for the platform.
    ZigGlibc(&'static str),
    /// Apple's, on a Mac: zig lacks the frameworks that certificates are read with.
    Mac,
}

/// RHEL 8, the oldest that OpenShift 4's clients run on.
const GLIBC: Linker = Linker::ZigGlibc("2.28");
/// RHEL 9: zig's unwinder needs the 128-bit `long double` that glibc has on this processor since 2.32.
const GLIBC_PPC64LE: Linker = Linker::ZigGlibc("2.32");

pub const PLATFORMS: &[Platform] = &[
    linux("x86_64-unknown-linux-musl", "amd64", Linker::Zig, "x86_64"),
    linux("aarch64-unknown-linux-musl", "arm64", Linker::Zig, "aarch64"),
    linux("powerpc64le-unknown-linux-gnu", "ppc64le", GLIBC_PPC64LE, "ppc64le"),
    Platform { krew: false, ..linux("s390x-unknown-linux-gnu", "s390x", GLIBC, "s390x") },
    other("x86_64-pc-windows-gnu", "windows", "amd64", Linker::Zig),
    other("x86_64-apple-darwin", "darwin", "amd64", Linker::Mac),
    other("aarch64-apple-darwin", "darwin", "arm64", Linker::Mac),
];

const fn linux(triple: &'static str, arch: &'static str, linker: Linker, qemu: &'static str) -> Platform {
    Platform { triple, os: "linux", arch, krew: true, linker, qemu }
}

const fn other(triple: &'static str, os: &'static str, arch: &'static str, linker: Linker) -> Platform {
    Platform { triple, os, arch, krew: true, linker, qemu: "" }
}

impl Platform {
    /// # Errors
    /// With what there is.
    pub fn of_triple(triple: &str) -> Result<&'static Self> {
        PLATFORMS.iter().find(|platform| platform.triple == triple).ok_or_else(|| {
            let known: Vec<&str> = PLATFORMS.iter().map(|platform| platform.triple).collect();
            Fault::new(format!("no release is made for the target {triple:?}"))
                .hint(format!("targets: {}", known.join(", ")))
        })
    }

    /// The platform and the version that the name of an archive stands for.
    pub fn of_archive(name: &str) -> Option<(&'static Self, &str)> {
        let rest = name.strip_prefix("oc-imagepolicy-v")?;
        PLATFORMS.iter().find_map(|platform| {
            let version = rest.strip_suffix(&format!("-{}-{}.{}", platform.os, platform.arch, platform.suffix()))?;
            is_version(version).then_some((platform, version))
        })
    }

    /// `tar.gz`, and `zip` on Windows, where everybody can open it.
    pub fn suffix(&self) -> &'static str {
        if self.os == "windows" { "zip" } else { "tar.gz" }
    }

    /// The name of the archive without its suffix, and of the one directory in it: `oc-imagepolicy-v0.1.0-linux-amd64`.
    pub fn stem(&self, version: &str) -> String {
        format!("oc-imagepolicy-v{version}-{}-{}", self.os, self.arch)
    }

    pub fn archive(&self, version: &str) -> String {
        format!("{}.{}", self.stem(version), self.suffix())
    }

    pub fn binary(&self) -> &'static str {
        if self.os == "windows" { "oc-imagepolicy.exe" } else { "oc-imagepolicy" }
    }

    /// Whether the binary needs no library of the machine that it runs on.
    pub fn is_static(&self) -> bool {
        self.os == "linux" && self.linker == Linker::Zig
    }

    /// As cargo-zigbuild names it: with the version of glibc.
    pub fn zig_target(&self) -> String {
        match self.linker {
            Linker::ZigGlibc(version) => format!("{}.{version}", self.triple),
            Linker::Zig | Linker::Mac => self.triple.to_owned(),
        }
    }

    /// Whether this machine can link for it.
    pub fn is_linked_here(&self) -> bool {
        self.linker != Linker::Mac || env::consts::OS == "macos"
    }

    /// What to put before the program to run it here: nothing, or qemu's emulation of a processor. `None` where it cannot be run.
    pub fn runner(&self) -> Option<Vec<PathBuf>> {
        let (os, arch) = match env::consts::OS {
            "macos" => ("darwin", env::consts::ARCH),
            os => (os, env::consts::ARCH),
        };
        let arch = match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        if self.os == os && self.arch == arch {
            return Some(Vec::new());
        }
        if os != "linux" || self.qemu.is_empty() {
            return None;
        }
        let names = [format!("qemu-{}-static", self.qemu), format!("qemu-{}", self.qemu)];
        let qemu = names.iter().find_map(|name| on_path(name))?;
        if self.is_static() {
            return Some(vec![qemu]);
        }
        // Debian's C libraries of other processors: libc6-s390x-cross, libc6-ppc64el-cross.
        let libraries = PathBuf::from(format!("/usr/{}-linux-gnu", self.triple.split('-').next().unwrap_or_default()));
        libraries.is_dir().then(|| vec![qemu, "-L".into(), libraries])
    }
}

/// An executable of this name on the `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// `1.2.3` or `1.2.3-rc.1`, as Semantic Versioning writes it, without build metadata (krew compares none).
fn is_version(text: &str) -> bool {
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let is_number = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    core.split('.').count() == 3 && core.split('.').all(is_number) && pre.is_none_or(|pre| pre.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_archive_says_what_it_is() {
        for platform in PLATFORMS {
            for version in ["0.1.0", "10.20.30-rc.1"] {
                assert_eq!(Platform::of_archive(&platform.archive(version)), Some((platform, version)));
            }
        }
        for name in [
            "oc-imagepolicy-0.1.0-linux-amd64.tar.gz",
            "oc-imagepolicy-v0.1.0-linux-amd64.zip",
            "oc-imagepolicy-v0.1.0-windows-amd64.tar.gz",
            "oc-imagepolicy-v0.1.0-linux-mips.tar.gz",
            "oc-imagepolicy-v0.1-linux-amd64.tar.gz",
            "oc-imagepolicy-v0.01.0-linux-amd64.tar.gz",
            "oc-imagepolicy-v../0.1.0-linux-amd64.tar.gz",
            "oc-imagepolicy-v0.1.0-linux-amd64.tar.gz.partial",
            "",
        ] {
            assert_eq!(Platform::of_archive(name), None, "{name}");
        }
    }

    #[test]
    fn no_two_archives_have_one_name() {
        let mut names: Vec<String> = PLATFORMS.iter().map(|platform| platform.archive("1.0.0")).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), PLATFORMS.len());
    }
}
