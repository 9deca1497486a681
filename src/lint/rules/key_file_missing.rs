//! IMP113

use crate::lint::gpg::{Demand, together};
use crate::lint::nodes::in_words;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::node_files::SHIPPED_KEYRING;
use crate::model::release::REBOOT_FREE_KEY;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 113,
    name: "key-file-missing",
    level: Level::Error,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[Kind::MachineConfig],
    summary: "A policy names a keyring's file that nobody delivers to the nodes, or that does not outlive a boot.",
    why: "A node opens the keyring when it checks a signature, not when it reads the policy: where the file is not there, everything seems to be \
          in order, and every image under the scope is rejected. Files in `/tmp` and `/run` are in memory and gone with the next boot, whoever \
          wrote them, and a file of a MachineConfig that is gone makes its node Degraded.",
    fix: "Let a MachineConfig deliver the keyring: `oc imagepolicy apply` does with `--key PATH=FILE`. A change of \
          `/etc/machine-config-daemon/no-reboot/containers-gpg.pub` makes no node reboot, one of most other paths does. RHCOS itself ships \
          `/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com/team]
        gpgKeyPath: /tmp/key1.gpg
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com/team]
        gpgKeyPath: /etc/pki/team.gpg  # no MachineConfig writes it
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.redhat.io]
        gpgKeyPath: /etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release  # RHCOS ships it
",
        },
    ],
    check,
};

/// Folders that are emptied, and when.
const EMPTIED: [(&str, &str); 5] = [
    ("/tmp/", "at every boot"),
    ("/run/", "at every boot"),
    ("/var/run/", "at every boot"),
    ("/dev/shm/", "at every boot"),
    ("/var/tmp/", "of what is older than 30 days"),
];

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut lacking = Vec::new();
    for demand in context.gpg_demands() {
        for path in demand.key_files() {
            let emptied = EMPTIED.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, when)| *when);
            let is_there = demand.group.files.keys.contains_key(path)
                || path == SHIPPED_KEYRING
                || context.snapshot.node_trees.iter().any(|tree| tree.files.contains_key(path));
            if emptied.is_some() || !is_there {
                let path = path.to_string();
                lacking.push(((path.clone(), is_there), demand.clone(), (path, emptied, is_there)));
            }
        }
    }
    // One file serves many scopes: it is told of with the first.
    for (demand, (path, emptied, is_there)) in together(lacking) {
        findings.push(finding(context, &demand, &path, emptied, is_there));
    }
}

fn finding(context: &Context<'_>, demand: &Demand<'_>, path: &str, emptied: Option<&str>, is_there: bool) -> Finding {
    let keyring = shown(path);
    let (level, message) = match emptied {
        Some(when) if is_there => {
            (Level::Error, format!("the keyring {keyring} lies in a folder that is emptied {when}"))
        }
        Some(when) => {
            (Level::Error, format!("nobody delivers the keyring {keyring}, and its folder is emptied {when}"))
        }
        None => (Level::Warning, format!("no MachineConfig delivers the keyring {keyring}")),
    };
    let when = if is_there { "after the next boot" } else { "unless somebody put the file there" };
    let effect = format!(
        "nodes of {} reject every image under {}, signed or not, {when}",
        in_words(demand.pools.iter().copied()),
        demand.place()
    );
    let help = if emptied.is_some() || path != REBOOT_FREE_KEY {
        format!(
            "name {REBOOT_FREE_KEY} in its place, whose change makes no node reboot, and ship the keyring with it:\n\
             oc imagepolicy apply -f IMAGE.yaml --key {REBOOT_FREE_KEY}=KEYRING.gpg"
        )
    } else {
        format!("ship it:\noc imagepolicy apply -f IMAGE.yaml --key {REBOOT_FREE_KEY}=KEYRING.gpg")
    };
    let finding = Finding::at(&RULE, &demand.object, context.origin(&demand.object), &demand.path, message)
        .level(level)
        .effect(effect)
        .help(help);
    match demand.witness() {
        Some(image) => finding.witness(image),
        None => finding,
    }
}
