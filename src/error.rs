//! The one error of this program: situations that a person can do something about. Somebody refusing an object is not among
//! them, that is an answer ([`crate::model::provenance::Refusal`]).

use std::io;

/// Why there is no answer. `Display` is lower case, present tense and names the thing; [`Error::hint`] is what to type next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to type.
        hint: String,
    },
    /// A file or directory cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// `read`, `write`, `create`.
        action: &'static str,
        /// As the user would name it.
        path: String,
        /// The system's word.
        source: io::Error,
        /// What to type, or empty.
        hint: String,
    },
    /// The content of an input makes no sense.
    #[error("{place}: {message}")]
    Input {
        /// `FILE`, `FILE:LINE` or `FILE:LINE:COLUMN`.
        place: String,
        /// What is wrong there.
        message: String,
        /// What to do, or empty.
        hint: String,
    },
    /// There is nothing in the input that this program reads.
    #[error("{message}")]
    Empty {
        /// What was looked at.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The kubeconfig, or a credential that it asks for, cannot be used.
    #[error("cannot use the kubeconfig: {message}")]
    Kubeconfig {
        /// What is wrong.
        message: String,
        /// What to type.
        hint: String,
    },
    /// The API server gives no usable answer.
    #[error("{server}: {message}")]
    Cluster {
        /// Its URL.
        server: String,
        /// What happened.
        message: String,
        /// What to type.
        hint: String,
    },
    /// Something that the answer rests on is missing (`--require-complete`, or a verdict that it could change).
    #[error("{message}")]
    Incomplete {
        /// What is missing.
        message: String,
        /// How to get it.
        hint: String,
    },
    /// Standard output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// `std::result::Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A usage error.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// A command to type or a thing to do; empty where nothing sensible can be said.
    pub fn hint(&self) -> &str {
        match self {
            Self::Usage { hint, .. }
            | Self::File { hint, .. }
            | Self::Input { hint, .. }
            | Self::Empty { hint, .. }
            | Self::Kubeconfig { hint, .. }
            | Self::Cluster { hint, .. }
            | Self::Incomplete { hint, .. } => hint,
            Self::Output(_) | Self::Interrupted => "",
        }
    }

    /// 2 for "could not answer", 130 for Ctrl-C; a reader that has gone away is success.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Interrupted => 130,
            _ => 2,
        }
    }
}
