//! The real policy engine of a node (`tests/reference`), asked over JSON lines.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize, Serializer};

use super::GoProgram;

const PROGRAM: GoProgram =
    GoProgram { module: "reference", tags: "containers_image_openpgp exclude_graphdriver_btrfs", after_build: |_| () };

/// What is asked of every image in `images`; what is absent is not asked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Request {
    /// Comes back in the answer.
    pub id: String,
    /// Text of a policy.json.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Text of a policy.json that is not UTF-8, instead of `policy`.
    #[serde(rename = "policyBytes", skip_serializing_if = "Option::is_none", serialize_with = "base64_text")]
    pub policy_bytes: Option<Vec<u8>>,
    /// Text of a registries.conf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registries: Option<String>,
    /// Files of a registries.d: name → text.
    #[serde(rename = "registriesd", skip_serializing_if = "Option::is_none")]
    pub registries_d: Option<BTreeMap<String, String>>,
    /// Whether to tell how the names are read.
    pub references: bool,
    /// A keyring, whose keys are told.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64_text")]
    pub keyring: Option<Vec<u8>>,
    /// Image names as a pod has them.
    pub images: Vec<String>,
}

fn base64_text<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    bytes.as_ref().map(|b| BASE64_STANDARD.encode(b)).serialize(to)
}

/// The lists hold one entry for each image, in order.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Answer {
    pub id: String,
    /// Why the policy is not taken.
    pub refused: Option<String>,
    /// Why the registries.conf is not taken.
    pub registries_refused: Option<String>,
    /// Why the registries.d is not taken.
    #[serde(rename = "registriesdRefused")]
    pub registries_d_refused: Option<String>,
    pub verdicts: Vec<ImageVerdict>,
    pub sources: Vec<ImageSources>,
    pub attachments: Vec<Attachments>,
    pub references: Vec<Parsed>,
    /// Fingerprints; of a build that has no gpg and knows RSA, DSA and ECDSA only.
    pub keys: Vec<String>,
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Verdict {
    AcceptsAnything,
    Rejects,
    RequiresSignature,
    /// The image name is not one.
    Unparsable,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ImageVerdict {
    pub image: String,
    /// Of the first requirement that fails.
    pub verdict: Verdict,
    overall: Option<Verdict>,
    /// Of the first requirement that fails, or why the name is not one.
    #[serde(default)]
    pub text: String,
}

impl ImageVerdict {
    /// Of all requirements: `Rejects` where any of them can never be met.
    pub fn overall(&self) -> Verdict {
        self.overall.unwrap_or(self.verdict)
    }
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ImageSources {
    pub image: String,
    /// Of the entry that matches; none where no entry does.
    pub prefix: Option<String>,
    pub blocked: bool,
    /// In the order in which they are tried. Empty where no entry matches or `text` says why not.
    pub sources: Vec<Source>,
    pub text: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Source {
    #[serde(rename = "ref")]
    pub reference: String,
    #[serde(default)]
    pub insecure: bool,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Attachments {
    pub image: String,
    #[serde(rename = "use")]
    pub used: bool,
    /// The section that decided, or was asked last; `default-docker` for that one.
    pub namespace: Option<String>,
    pub lookaside: String,
    pub text: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Parsed {
    pub image: String,
    /// Fully expanded.
    pub reference: Option<String>,
    /// Scopes in the order of lookup, without `""` and the default.
    pub candidates: Vec<String>,
    pub text: Option<String>,
}

/// A running engine. It ends with its stdin, so it never outlives the test.
pub struct Engine {
    child: Child,
    stdin: Option<BufWriter<ChildStdin>>,
    stdout: BufReader<ChildStdout>,
}

impl Engine {
    /// Builds it first where necessary.
    pub fn start() -> Self {
        let mut child = Command::new(PROGRAM.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the engine");
        let stdin = BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
        let stdout = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
        Self { child, stdin: Some(stdin), stdout }
    }

    /// Asks all of it at once; the answers are in the order of the requests.
    ///
    /// # Panics
    /// Where the engine ends, or does not understand a request.
    pub fn ask(&mut self, requests: &[Request]) -> Vec<Answer> {
        let Self { stdin, stdout, .. } = self;
        let stdin = stdin.as_mut().expect("the engine runs");
        thread::scope(|scope| {
            // Beside the reading: with both pipes full the engine would wait for us and we for it.
            scope.spawn(move || {
                for request in requests {
                    serde_json::to_writer(&mut *stdin, request).expect("write to the engine");
                    stdin.write_all(b"\n").expect("write to the engine");
                }
                stdin.flush().expect("write to the engine");
            });
            let mut line = String::new();
            requests.iter().map(|request| read_answer(stdout, &mut line, request)).collect()
        })
    }
}

fn read_answer(from: &mut impl BufRead, line: &mut String, request: &Request) -> Answer {
    line.clear();
    from.read_line(line).expect("read from the engine");
    let answer: Answer =
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in the engine's answer {line:?} to {request:?}"));
    assert_eq!(answer.error, None, "{request:?}");
    assert_eq!(answer.id, request.id);
    answer
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Not killed: at the end of its input it removes its folder.
        self.stdin.take();
        let _ = self.child.wait();
    }
}
