//! A keyring that is to be shipped to nodes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// A MachineConfig could not hold more.
const LARGEST: u64 = 1 << 20;

/// The bytes of a local file that is to be a keyring on nodes.
///
/// # Errors
/// [`Error::File`], or [`Error::Usage`] for a file that is empty or too large to be one.
pub fn read_keyring(path: &Path) -> Result<Vec<u8>> {
    let failure = |source| Error::File {
        action: "read",
        path: path.display().to_string(),
        source,
        hint: "export the public keys with: gpg --export KEYID > FILE".into(),
    };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(failure)?;
    let wrong = match bytes.len() as u64 {
        0 => "is empty",
        length if length > LARGEST => "has more than 1 MiB",
        _ => return Ok(bytes),
    };
    Err(Error::usage(
        format!("{} {wrong}: that is no keyring", path.display()),
        "export the public keys with: gpg --export KEYID > FILE",
    ))
}
