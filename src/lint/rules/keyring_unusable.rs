//! IMP112

use std::collections::HashMap;
use std::rc::Rc;

use crate::compile::overlay::is_ours;
use crate::lint::gpg::{Demand, together};
use crate::lint::nodes::{in_words, writers};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::keyrings::{GpgKey, Keyring, KeyringProblem, day, inspect_keyring};
use crate::model::policy::KeySource;

pub static RULE: Rule = Rule {
    code: 112,
    name: "keyring-unusable",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A GPG keyring that nodes cannot use: it is none, holds a private key, or its keys are expired, revoked or not for signing.",
    why: "Nobody looks into a keyring before a node checks a signature with it: neither the API server nor the controllers. Where no key can be \
          taken out of it, every image under its scopes is rejected. Nodes hand it to gpg, and gpg accepts nothing by a key that has expired by \
          now, or that its owner revoked, whenever the signature was made: on the day on which the last key expires, pulls stop.",
    fix: "Give a keyring with the public key that the images are signed with: `gpg --export NAME >release.gpg`, binary or `--armor`. Of a key \
          that expires, its owner can put the date off (`gpg --quick-set-expire FINGERPRINT 2y`); the keyring on the nodes must then be \
          replaced. A private key in a keyring has been read by everybody who may read MachineConfigs: make a new one.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 51-worker-gpg
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: >-
              data:,%7B%22default%22:[%7B%22type%22:%22signedBy%22,%22keyType%22:%22GPGKeys%22,%22keyPath%22:%22/etc/pki/release.gpg%22%7D]%7D
        - path: /etc/pki/release.gpg
          contents:
            # the key for cosign, where GPG is asked for
            source: data:;base64,SOME_KEY
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 51-worker-gpg
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: >-
              data:,%7B%22default%22:[%7B%22type%22:%22signedBy%22,%22keyType%22:%22GPGKeys%22,%22keyPath%22:%22/etc/pki/release.gpg%22%7D]%7D
        - path: /etc/pki/release.gpg
          contents:
            # Old Release <old@example.com>, expired in 2021
            source: data:;base64,mDMEXgvhABYJKwYBBAHaRw8BAQdA7ANySIG9c7Y3JC8OGEdzAvvCnaEalC+ezwindQMJMm60HU9sZCBSZWxlYXNlIDxvbGRAZXhhbXBsZS5jb20+iJYEExYIAD4WIQQoV1iKxORov+mInt0EjkH0AfPrggUCXgvhAAIbAwUJAeMtwAULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRAEjkH0AfPrgnpOAP0dmW6TTTNjf01PlgYPlvdUwiojAwYgP7SXNN6JW6Fi0AEA1jM1B4NImud0DIX1Q1Sx9wsALNGmstwCcxHlqMc5Bw0=
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 51-worker-gpg
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: >-
              data:,%7B%22default%22:[%7B%22type%22:%22signedBy%22,%22keyType%22:%22GPGKeys%22,%22keyPath%22:%22/etc/pki/release.gpg%22%7D]%7D
        - path: /etc/pki/release.gpg
          contents:
            # Example Images <images@example.com>, expires in 2099
            source: data:;base64,mDMEaVW5ABYJKwYBBAHaRw8BAQdAJs+O93y2lrlQMOmG7mWuc+fLz4jaHTmdrB9jTxuaF+60I0V4YW1wbGUgSW1hZ2VzIDxpbWFnZXNAZXhhbXBsZS5jb20+iJYEExYIAD4WIQRxnVhOT2/XC/QqmxjU4O6z7VZNyQUCaVW5AAIbAwUJiy/1QAULCQgHAgYVCgkICwIEFgIDAQIeAQIXgAAKCRDU4O6z7VZNyRuRAQD6LKE5sUeqgMOeUY94Tta6UICXQVKixVogE/NL79chpgD8DmTb1bh2KG1KsuWuJt6jX2cthrkYepPBtlsuTkM+aQE=
",
        },
    ],
    check,
};

/// A key that expires within this time, in seconds, is told of: 90 days.
const SOON: i64 = 90 * 24 * 60 * 60;

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut known: HashMap<Vec<u8>, Rc<Result<Keyring, KeyringProblem>>> = HashMap::new();
    let mut faulty = Vec::new();
    for demand in context.gpg_demands() {
        for (file, bytes) in keyrings(&demand) {
            let inspected = known.entry(bytes.to_vec()).or_insert_with(|| Rc::new(inspect_keyring(bytes))).clone();
            let identity = file.map_or_else(|| demand.path.clone(), str::to_string);
            let fault = match &*inspected {
                Err(problem) => Some(unreadable(problem)),
                Ok(ring) => faulty_keys(ring, context.now),
            };
            if let Some(fault) = fault {
                let file = file.map(str::to_string);
                faulty.push(((identity, fault.message.clone()), demand.clone(), (file, fault)));
            }
        }
    }
    // One keyring serves many scopes: it is told of with the first.
    for (demand, (file, fault)) in together(faulty) {
        findings.push(finding(context, &demand, file.as_deref(), fault));
    }
}

/// Those of a demand whose content is known, each with its file.
fn keyrings<'d>(demand: &'d Demand<'_>) -> Vec<(Option<&'d str>, &'d [u8])> {
    match demand.keys {
        KeySource::Data(bytes) => vec![(None, bytes)],
        KeySource::Datas(all) => all.iter().map(|bytes| (None, &**bytes)).collect(),
        KeySource::Path(_) | KeySource::Paths(_) => {
            let keys = &demand.group.files.keys;
            demand.key_files().filter_map(|path| Some((Some(path), &**keys.get(path)?))).collect()
        }
    }
}

/// What is wrong with a keyring.
struct Fault {
    level: Level,
    /// Follows the keyring's name.
    message: String,
    /// Follows the scope: `every pull of an image under X`.
    effect: String,
    advice: String,
}

fn unreadable(problem: &KeyringProblem) -> Fault {
    let effect = match problem {
        KeyringProblem::PrivateKey => "may be signed by everybody who can read it: it is no secret any more",
        _ => "is rejected, signed or not: \"No public keys imported\", or an error of gpg",
    };
    Fault {
        level: Level::Error,
        message: problem.to_string(),
        effect: effect.to_string(),
        advice: problem.help().to_string(),
    }
}

fn faulty_keys(ring: &Keyring, now: i64) -> Option<Fault> {
    let faults: Vec<(&GpgKey, String)> = ring
        .keys
        .iter()
        .filter_map(|key| {
            let fault = key.fault(now).map(|fault| fault.to_string());
            let soon = key.expires.filter(|expires| *expires < now.saturating_add(SOON));
            Some((key, fault.or_else(|| soon.map(|expires| format!("expires on {}", day(expires))))?))
        })
        .collect();
    let dead = ring.keys.iter().filter(|key| key.fault(now).is_some()).count();
    let (first, what) = faults.first()?;
    let others = match faults.len() - 1 {
        0 => String::new(),
        1 => ", and another one is no better".to_string(),
        more => format!(", and {more} others are no better"),
    };
    let last = ring.keys.iter().filter_map(|key| key.expires).max().unwrap_or_default();
    let (level, effect) = if dead == ring.keys.len() {
        (
            Level::Error,
            "is rejected, signed or not: gpg accepts no signature by these keys, old ones neither".to_string(),
        )
    } else if faults.len() == ring.keys.len() && dead == 0 {
        let when = day(last);
        (Level::Warning, format!("will be rejected from {when} on, with signatures that were made before, too"))
    } else {
        (Level::Warning, "is rejected where it is signed with such a key only, or will be when it expires".to_string())
    };
    let advice = format!(
        "let the owner of the key put the date off, or sign with another one; then replace the keyring:\n\
         gpg --quick-set-expire {} 2y && gpg --export {0} >release.gpg",
        first.fingerprint
    );
    Some(Fault { level, message: format!("has key {first}, which {what}{others}"), effect, advice })
}

fn finding(context: &Context<'_>, demand: &Demand<'_>, file: Option<&str>, fault: Fault) -> Finding {
    let Fault { level, message, effect, advice } = fault;
    let name = match file {
        Some(path) => format!("the keyring {}", shown(path)),
        None => "the keyring in keyData".to_string(),
    };
    let writer = file.and_then(|path| context.file_of(writers(demand.group, path).last()?, path));
    let effect = match message.starts_with("holds a private key") {
        true => format!("every image under {} {effect}", demand.place()),
        false => format!(
            "on nodes of {} every pull of an image under {} {effect}",
            in_words(demand.pools.iter().copied()),
            demand.place()
        ),
    };
    let is_ours = |name: &str| context.snapshot.machine_configs.iter().any(|o| o.metadata.name == name && is_ours(o));
    let command = match (&writer, file) {
        (Some((object, _)), Some(path)) if is_ours(&object.name) => {
            format!("\noc imagepolicy apply -f IMAGE.yaml --key {}=release.gpg", fix::shell_word(path))
        }
        (Some((object, _)), _) => format!("\n{}", fix::edit(object)),
        (None, _) => String::new(),
    };
    let finding =
        Finding::at(&RULE, &demand.object, context.origin(&demand.object), &demand.path, format!("{name} {message}"))
            .level(level)
            .effect(effect)
            .help(format!("{advice}{command}"));
    let finding = match writer {
        Some((object, path)) if object != demand.object || path != demand.path => {
            finding.related(&object, path, "delivers it")
        }
        _ => finding,
    };
    match demand.witness() {
        Some(image) => finding.witness(image),
        None => finding,
    }
}
