//! Which kinds of objects the service has, kept as an ApplySet parent, so that what is no longer wanted is found and
//! removed, and kubectl knows whose the members are.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Site;
use crate::manifest::{Kind, names};

const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";

/// The set's identity, as the ApplySet specification derives it from the parent.
pub fn id(site: &Site) -> String {
    let parent = format!("{}.{}.ConfigMap.", names::inventory(&site.service), site.namespace);
    let digest = Sha256::digest(parent);
    format!("applyset-{}-v1", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest))
}

fn term(kind: Kind) -> String {
    if kind.group().is_empty() { kind.name().into() } else { format!("{}.{}", kind.name(), kind.group()) }
}

/// The parent object that lists `kinds`.
pub fn object(site: &Site, kinds: &BTreeSet<Kind>, epoch: u64) -> Value {
    let mut terms: Vec<String> = kinds.iter().map(|k| term(*k)).collect();
    terms.sort();
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names::inventory(&site.service),
            "labels": {names::NAME: site.service, names::MANAGED_BY: "msctl", ID: id(site)},
            "annotations": {
                TOOLING: "msctl/v1", KINDS: terms.join(","), names::EPOCH: epoch.to_string(),
            },
        },
    })
}

/// The kinds a live parent lists.
pub fn kinds(parent: Option<&Value>) -> BTreeSet<Kind> {
    let text = parent.and_then(|p| p["metadata"]["annotations"][KINDS].as_str()).unwrap_or_default();
    let known: BTreeMap<String, Kind> = Kind::ALL.into_iter().map(|k| (term(k), k)).collect();
    text.split(',').filter_map(|t| known.get(t).copied()).collect()
}
