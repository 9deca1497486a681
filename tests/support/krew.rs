//! What krew does with a manifest and an archive, as far as the file system shows it (krew's internal/installation): the checksum, the
//! archive unpacked, files picked and moved by the manifest, a link in `bin`, a receipt.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

pub struct Krew {
    /// `KREW_ROOT`
    pub root: PathBuf,
}

impl Krew {
    /// krew itself, installed with nothing else.
    pub fn new(root: PathBuf) -> Self {
        for folder in ["bin", "store", "receipts", "index"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        Self { root }
    }

    /// `kubectl krew install --manifest=FILE --archive=FILE`
    pub fn install(&self, manifest: &str, archive: &Path) -> Result<(), String> {
        let manifest: Value = serde_yaml::from_str(manifest).unwrap();
        let name = text(&manifest["metadata"]["name"]);
        if self.receipt(name).exists() {
            return Err(format!("{name} is already installed"));
        }
        self.place(&manifest, archive)?;
        fs::write(self.receipt(name), serde_json::to_vec(&manifest).unwrap()).unwrap();
        Ok(())
    }

    /// `kubectl krew upgrade`, of a manifest with a newer version.
    pub fn upgrade(&self, manifest: &str, archive: &Path) -> Result<(), String> {
        let manifest: Value = serde_yaml::from_str(manifest).unwrap();
        let name = text(&manifest["metadata"]["name"]);
        let old: Value = serde_json::from_slice(&fs::read(self.receipt(name)).unwrap()).unwrap();
        if old["spec"]["version"] == manifest["spec"]["version"] {
            return Err("the newest version is already installed".into());
        }
        self.place(&manifest, archive)?;
        fs::write(self.receipt(name), serde_json::to_vec(&manifest).unwrap()).unwrap();
        fs::remove_dir_all(self.store(name).join(text(&old["spec"]["version"]))).unwrap();
        Ok(())
    }

    /// `kubectl krew uninstall NAME`
    pub fn uninstall(&self, name: &str) {
        fs::remove_file(self.link(name)).unwrap();
        fs::remove_dir_all(self.store(name)).unwrap();
        fs::remove_file(self.receipt(name)).unwrap();
    }

    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    pub fn link(&self, name: &str) -> PathBuf {
        self.bin().join(format!("kubectl-{}", name.replace('-', "_")))
    }

    pub fn store(&self, name: &str) -> PathBuf {
        self.root.join("store").join(name)
    }

    fn receipt(&self, name: &str) -> PathBuf {
        self.root.join("receipts").join(format!("{name}.yaml"))
    }

    fn place(&self, manifest: &Value, archive: &Path) -> Result<(), String> {
        let (name, version) = (text(&manifest["metadata"]["name"]), text(&manifest["spec"]["version"]));
        let platforms = manifest["spec"]["platforms"].as_array().unwrap();
        let is_ours = |platform: &&Value| {
            let labels = &platform["selector"]["matchLabels"];
            (text(&labels["os"]), text(&labels["arch"])) == ("linux", "amd64")
        };
        let platform = platforms.iter().find(is_ours).ok_or("does not offer installation for this platform")?;

        let bytes = fs::read(archive).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let sha256: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if sha256 != text(&platform["sha256"]) {
            return Err(format!("checksum does not match, want: {}, got {sha256}", text(&platform["sha256"])));
        }
        let staging = tempfile::tempdir().unwrap();
        let (unpacked, moved) = (staging.path().join("unpacked"), staging.path().join("moved"));
        fs::create_dir(&unpacked).unwrap();
        fs::create_dir(&moved).unwrap();
        unpack(&bytes, &unpacked)?;
        for operation in platform["files"].as_array().unwrap() {
            move_files(&unpacked, &moved, text(&operation["from"]), text(&operation["to"]))?;
        }
        let folder = self.store(name).join(version);
        fs::create_dir_all(self.store(name)).unwrap();
        copy_tree(&moved, &folder);

        let bin = folder.join(text(&platform["bin"]));
        if !bin.exists() {
            return Err(format!("source binary ({}) cannot be found in extracted archive", bin.display()));
        }
        if let Ok(old) = self.link(name).symlink_metadata() {
            assert!(old.is_symlink());
            fs::remove_file(self.link(name)).unwrap();
        }
        let relative = Path::new("..").join(bin.strip_prefix(&self.root).unwrap());
        symlink(relative, self.link(name)).unwrap();
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// krew unpacks folders and plain files, and refuses everything else.
fn unpack(bytes: &[u8], to: &Path) -> Result<(), String> {
    for entry in tar::Archive::new(GzDecoder::new(bytes)).entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        let path = entry.path().unwrap().into_owned();
        if path.is_absolute() || path.to_string_lossy().contains("..") {
            return Err(format!("refusing to unpack archive with suspicious entry {}", path.display()));
        }
        let mode = entry.header().mode().unwrap();
        match entry.header().entry_type() {
            tar::EntryType::Directory => fs::create_dir_all(to.join(&path)).unwrap(),
            tar::EntryType::Regular => {
                fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).map_err(|e| e.to_string())?;
                fs::write(to.join(&path), content).unwrap();
                set_mode(&to.join(&path), mode);
            }
            other => return Err(format!("unable to handle file type {other:?}")),
        }
    }
    Ok(())
}

/// What is named exactly is moved under the name `to` (`.`: its own); what a wildcard finds, into the folder `to`.
fn move_files(from_folder: &Path, to_folder: &Path, from: &str, to: &str) -> Result<(), String> {
    // As Go joins paths: an absolute one is taken below the folder.
    let from = from.trim_start_matches('/');
    let exact = from_folder.join(from);
    let moves: Vec<(PathBuf, PathBuf)> = if exact.exists() {
        let name = if to == "." { Path::new(exact.file_name().unwrap()) } else { Path::new(to) };
        vec![(exact.clone(), to_folder.join(name))]
    } else {
        let mut found = vec![from_folder.to_path_buf()];
        for pattern in from.split('/') {
            let inside = found.iter().filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).unwrap());
            let inside = inside.map(|entry| entry.unwrap().path());
            found = inside.filter(|path| fits(pattern, path.file_name().unwrap().to_str().unwrap())).collect();
        }
        found.into_iter().map(|path| (path.clone(), to_folder.join(to).join(path.file_name().unwrap()))).collect()
    };
    if moves.is_empty() {
        return Err(format!("no files in the plugin archive matched the glob pattern={from}"));
    }
    for (from, to) in moves {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(from, to).unwrap();
    }
    Ok(())
}

/// A pattern with `*` alone.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// A folder with all that is in it, to a place that exists or not.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
