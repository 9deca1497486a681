//! `oc imagepolicy generate`

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::input::{ConnectionFlags, DeliveryArgs, InputArgs};
use super::load::{Header, Loaded, Needs};
use super::{Answer, OutputArgs};
use crate::compile::{Compiled, Generated, Overlay, overlay, pools};
use crate::error::Error;
use crate::files;
use crate::model::machine_config::{self, Form, generated_name, ignition, split_name};
use crate::model::private_keys::contains_private_key;
use crate::model::provenance::Refusal;
use crate::output::{API_VERSION, Report, Terminal};
use crate::snapshot::{Delivery, Kind};

use super::explain::print_refusals;

/// Print the MachineConfigs, or write the node files, that follow from the objects
///
/// By default these are the bytes that the machine-config-controller itself writes, for study and comparison. It owns these
/// MachineConfigs: what you apply under their names, it replaces. With --layout overlay they are our own MachineConfigs, which win over
/// the controller's.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # The MachineConfigs that the controller would write for these manifests
  oc imagepolicy generate -f policies/ --release 4.20

  # The files as they are on a node: DIR/worker/etc/containers/policy.json and so on
  oc imagepolicy generate --to DIR

  # GPG signatures: our own MachineConfigs for the signedRegistries of an Image, with the keyring
  oc imagepolicy generate -f image.yaml --layout overlay --key /etc/pki/team.gpg=team.gpg

Exit codes: 0 generated, 1 refused, 2 no answer.")]
pub struct Args {
    /// Write the files as on a node into DIR/POOL; DIR must be empty or absent
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// How the files are cut into MachineConfigs
    #[arg(long, value_enum, default_value = "controller", value_name = "LAYOUT")]
    layout: Layout,
    /// Only this MachineConfigPool
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    #[command(flatten)]
    delivery: DeliveryArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Layout {
    /// As the machine-config-controller does: all in 99-POOL-generated-registries
    Controller,
    /// The same in two: where signatures are looked for in 99-POOL-generated-imagepolicies, the rest in 99-POOL-generated-registries
    Split,
    /// Our own, laid over the controller's: 99-POOL-imagepolicy, with signedRegistries and what the controller does not read
    Overlay,
}

pub fn run(args: Args) -> Answer {
    let delivery = args.delivery.read()?;
    let is_overlay = args.layout == Layout::Overlay;
    if !is_overlay && delivery != Delivery::default() {
        return Err(Error::usage(
            "--key, --lookaside and --inline-keys are for our own MachineConfigs",
            "add: --layout overlay",
        ));
    }
    let mut loaded = Loaded::load(&args.input, &args.connection, Needs::Policies, None)?;
    if is_overlay {
        loaded.deliver(Delivery { always: true, ..delivery });
    }
    loaded.refuse_bare_node_files("generate")?;
    loaded.say_gaps();
    let blind = loaded.snapshot.gaps.iter().find(|gap| {
        matches!(gap.kind, Kind::Image | Kind::ClusterImagePolicy)
            && gap.reason != crate::snapshot::GapReason::NotInstalled
    });
    if let Some(gap) = blind {
        return Err(Error::Incomplete {
            message: format!("what the controller writes cannot be told: {}", gap.message),
            hint: Loaded::hint_on(gap).into(),
        });
    }
    let mut t = args.output.terminal();
    let mut refuse = |refusals: Vec<Refusal>| -> Answer {
        let mut header = loaded.header("desired", None);
        header.refusals = refusals;
        let refused = Refused { api_version: API_VERSION, kind: "Generated", header };
        crate::output::print(&refused, args.output.format, &mut t)?;
        args.output.say_refusals(&refused.header.refusals);
        Ok(false)
    };
    let Compiled { generated: Ok(generated), overlay: Ok(overlay), .. } = &loaded.compiled else {
        return refuse(loaded.compiled.refusals());
    };
    for note in loaded.notes() {
        super::say("note", &note.text);
    }
    refuse_private_keys(&loaded)?;
    let (pools, files, comment, objects) = match overlay.as_ref().filter(|_| is_overlay) {
        Some(overlay) => {
            say_what_is_missing(&loaded, overlay);
            let objects = match overlay::machine_configs(&loaded.snapshot, &loaded.compiled, overlay) {
                Ok(objects) => objects,
                Err(refusals) => return refuse(refusals),
            };
            let pools = only(&args, overlay::pools_of(&loaded.snapshot, &loaded.compiled, overlay))?;
            (pools, &overlay.delivered, OVERLAY_COMMENT, Some(objects))
        }
        None => {
            let pools = only(&args, pools::built_in(&loaded.snapshot))?;
            let is_split = args.layout == Layout::Split;
            let split = (is_split && args.to.is_none()).then(|| split(&loaded, generated, &pools));
            (pools, generated, if is_split { SPLIT_COMMENT } else { COMMENT }, split)
        }
    };
    match &args.to {
        Some(directory) => write_files(directory, &pools, files)?,
        None => {
            let mut items = objects.unwrap_or_else(|| machine_configs(&loaded, generated, &pools));
            items.retain(|object| {
                pools.iter().any(|pool| object.pointer(ROLE_POINTER) == Some(&Value::from(pool.as_str())))
            });
            let list = MachineConfigs { api_version: "v1", kind: "List", comment, items };
            crate::output::print(&list, args.output.format, &mut t)?;
        }
    }
    loaded.require_complete(&args.input)?;
    // The process ends here; taking a large cluster apart piece by piece would take a tenth of the time.
    std::mem::forget(loaded);
    Ok(true)
}

/// A private key in an object must not be spread further.
fn refuse_private_keys(loaded: &Loaded) -> Result<(), Error> {
    let policies = loaded.snapshot.cluster_image_policies.iter().chain(&loaded.snapshot.image_policies);
    for policy in policies {
        let root = &policy.value.spec.policy.root_of_trust;
        let public_key = root.public_key.iter().flat_map(|key| [&key.key_data, &key.rekor_key_data]);
        let fulcio =
            root.fulcio_ca_with_rekor.iter().flat_map(|fulcio| [&fulcio.fulcio_ca_data, &fulcio.rekor_key_data]);
        let pki = root.pki.iter().flat_map(|pki| [&pki.ca_roots_data, &pki.ca_intermediates_data]);
        if public_key.chain(fulcio).chain(pki).any(contains_private_key) {
            return Err(Error::usage(
                format!("{} holds a private key, which would be copied to every node", policy.reference),
                "put the public key there, and consider the private one stolen: make a new pair",
            ));
        }
    }
    Ok(())
}

const ROLE_POINTER: &str = "/metadata/labels/machineconfiguration.openshift.io~1role";

/// What nodes will miss, and whether all of this is needed.
fn say_what_is_missing(loaded: &Loaded, overlay: &Overlay) {
    let missing = overlay::missing_keys(&loaded.snapshot, overlay);
    for text in missing.iter().filter_map(overlay::MissingKey::in_words) {
        super::say("warning", &text);
    }
    for text in overlay::unused_keys(&loaded.snapshot, &loaded.compiled) {
        super::say("warning", &text);
    }
    if overlay.signed.is_empty() && overlay.objects.is_empty() {
        super::say(
            "note",
            "nothing here needs an overlay: the controller delivers all of it, and `apply` would write none. While this one is \
             there, changes of the objects have no effect until it is made anew",
        );
    }
}

/// Only these pools get a MachineConfig of their own; others inherit the worker's.
fn only(args: &Args, pools: Vec<String>) -> Result<Vec<String>, Error> {
    let Some(wanted) = &args.pool else { return Ok(pools) };
    if pools.contains(wanted) {
        return Ok(vec![wanted.clone()]);
    }
    Err(Error::usage(
        format!("nothing is generated for a pool `{wanted}`"),
        format!("it does for: {}; custom pools inherit what the worker pool has", pools.join(", ")),
    ))
}

fn write_files(directory: &std::path::Path, pools: &[String], generated: &Generated) -> Result<(), Error> {
    // A policy.json may have a hundred megabytes: nothing is held, each file is put together while it is written.
    let mut all: Vec<(String, files::Content)> = Vec::new();
    for pool in pools {
        for file in generated.files() {
            all.push((format!("{pool}{}", file.path), Box::new(move |out| file.write_to(out))));
        }
    }
    files::write_directory(directory, all)?;
    let files = match generated.files().len() {
        1 => "1 file".to_string(),
        count => format!("{count} files"),
    };
    super::say("wrote", &format!("{files} a pool for {} to {}", pools.join(", "), directory.display()));
    Ok(())
}

fn machine_configs(loaded: &Loaded, generated: &Generated, pools: &[String]) -> Vec<Value> {
    let config = ignition(generated.contents(), loaded.release);
    let form = form(loaded);
    let object =
        |pool: &String| machine_config::object(&generated_name(pool), pool, config.clone(), form, loaded.release);
    pools.iter().map(object).collect()
}

fn split(loaded: &Loaded, generated: &Generated, pools: &[String]) -> Vec<Value> {
    let [registries, attachments] = generated.split();
    let form = form(loaded);
    let objects = |pool: &String| {
        let object =
            |name: String, config: &Value| machine_config::object(&name, pool, config.clone(), form, loaded.release);
        [object(generated_name(pool), &registries), object(split_name(pool), &attachments)]
    };
    pools.iter().flat_map(objects).collect()
}

fn form(loaded: &Loaded) -> Form<'_> {
    let image_uid =
        loaded.snapshot.image.as_ref().map(|image| image.metadata.uid.as_str()).filter(|uid| !uid.is_empty());
    Form::Object { image_uid, controller_version: None }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    header: Header,
}

impl Report for Refused {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        print_refusals(&self.header.refusals, t)
    }

    fn names(&self, _: &mut Terminal) -> io::Result<()> {
        Ok(())
    }
}

/// A `List` for `-o json`, a stream of objects otherwise.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MachineConfigs {
    api_version: &'static str,
    kind: &'static str,
    #[serde(skip)]
    comment: &'static str,
    items: Vec<Value>,
}

const OVERLAY_COMMENT: &str = "# Made by oc-imagepolicy: policy.json is replaced as a whole, so make this anew when the objects change. `oc imagepolicy apply` does.\n";
const COMMENT: &str = "# The machine-config-controller owns MachineConfigs of these names and replaces what others write there: this is for study and comparison.\n";

const SPLIT_COMMENT: &str = "# An early design's layout, which no released machine-config-controller writes. Merged, both give nodes the files of --layout controller;\n# the controller owns 99-POOL-generated-registries and replaces what others write there.\n";

impl Report for MachineConfigs {
    /// The default output is for kubectl as much as for people: a YAML stream.
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        t.yaml_stream(self.comment, &self.items)
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        self.items.iter().try_for_each(|item| {
            let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            t.line(&format!("machineconfig.machineconfiguration.openshift.io/{name}"))
        })
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        self.items.iter().try_for_each(|item| t.json_line(item))
    }

    fn yaml(&self, t: &mut Terminal) -> io::Result<()> {
        self.human(t)
    }
}
