//! What a release is on Kubernetes: its template, what it would change, and how it is installed and removed.
//! Free functions; the adapter calls them.

mod api;
mod change;
mod compare;
mod failure;
mod inventory;
pub mod keda;
mod live;
mod ownership;
mod preflight;
mod remove;
mod shared;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use anyhow::Context as _;
use base64::Engine as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use serde_json::{Value, json};

use super::router::Router;
use crate::manifest::{self, Input, Kind, names};
use crate::platform::{self, Action, Change, Error, Release, Template};
use crate::rollout::{Adopted, Slot};
use change::Planned;
use live::Live;
pub use preflight::{Found, run as preflight};
pub use shared::{owned, refuse_tool};

/// Writes at a time within a wave; more only queue in the server.
const AT_ONCE: usize = 16;

/// Where one service lives.
#[derive(Clone)]
pub struct Site {
    pub client: Client,
    pub namespace: String,
    pub service: String,
    /// None: nothing but Services is made.
    pub router: Option<Router>,
    /// A Deployment of somebody else in a slot's place, now or once.
    pub adopted: Option<Adopted>,
}

/// What a slot would run. One read where the service has secrets (the key of their names), none otherwise.
pub async fn template(site: &Site, release: &Release) -> anyhow::Result<Template> {
    let key = key(site, release).await?;
    Ok(manifest::template(&input(release, &key)?))
}

/// One list per kind, one dry run per object that differs; nothing is written.
pub async fn diff(site: &Site, release: &Release, template: &Template) -> anyhow::Result<Vec<Change>> {
    let live = survey(site, release).await?;
    let slot = live.slot(site);
    let mut all = planned(site, &live, release, template).await?;
    if !runs(live.deployment(site, slot), template) {
        let revision = live.deployment(site, slot).map_or(1, |d| revision(d) + 1);
        all.extend(slot_changes(site, &live, template, slot, revision));
    }
    let changes = futures::stream::iter(all)
        .map(|planned| change::shown(site, planned))
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await;
    changes.map_err(|e| refused(site, e, "compare with the cluster"))
}

/// Everything that is not a slot, in waves; then what is no longer wanted is removed.
pub async fn install(
    site: &Site,
    release: &Release,
    template: &Template,
    surveyed: Option<&Live>,
    epoch: u64,
) -> anyhow::Result<Vec<Change>> {
    let read;
    let live = match surveyed {
        Some(live) => live,
        None => {
            read = survey(site, release).await?;
            &read
        }
    };
    let planned = planned(site, live, release, template).await?;
    ensure_key(site, release, epoch).await?;
    let kinds: BTreeSet<Kind> = planned
        .iter()
        .filter(|p| p.action() != Action::Delete)
        .map(|p| p.kind)
        .chain(live.all().map(|(kind, _)| kind))
        .chain([Kind::ConfigMap, Kind::Deployment, Kind::PodDisruptionBudget])
        .collect();
    if inventory::kinds(live.inventory(site)) != kinds {
        let parent = inventory::object(site, &kinds, epoch);
        let done = write::apply(site, &parent, live.inventory(site)).await;
        done.map_err(|e| refused(site, e, "write the inventory"))?;
    }
    let mut changes = Vec::new();
    for wave in change::waves(planned) {
        let done = futures::stream::iter(wave)
            .map(|planned| change::carried_out(site, planned, epoch))
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await;
        changes.extend(done.map_err(|(object, e)| {
            let error = failure::after_write(e, &format!("apply {object}"));
            if changes.is_empty() { error } else { error.context("the deploy stopped between two writes") }
        })?);
    }
    Ok(changes)
}

/// Makes `slot` run `template` as `revision`: Service, budget, autoscaler, Deployment (made with no pods, its number
/// of pods left alone after). Returns the Deployment.
pub async fn apply_slot(
    site: &Site,
    template: &Template,
    slot: Slot,
    revision: u32,
    epoch: u64,
) -> platform::Result<Value> {
    let name = names::slot(&site.service, slot);
    let objects = manifest::slot_objects(template, slot, revision);
    let stamped: Vec<Value> = objects.iter().map(|o| write::stamped(site, o, epoch)).collect();
    let wanted = stamped.iter().filter_map(manifest::kind_of);
    let scaler = Kind::HorizontalPodAutoscaler;
    let kinds: BTreeSet<Kind> = wanted.chain([scaler]).collect();
    let name = name.as_str();
    let looks =
        kinds.iter().map(|kind| async move { Ok::<_, Error>((*kind, api::find(site, *kind, name).await?)) });
    let found: BTreeMap<Kind, Option<Value>> =
        futures::future::try_join_all(looks).await?.into_iter().collect();
    let live = |object: &Value| manifest::kind_of(object).and_then(|k| found.get(&k)?.as_ref());
    if let Some(object) = stamped.iter().find(|o| live(o).is_some_and(|l| !change::ours(&site.service, l))) {
        return Err(change::foreign(live(object), object));
    }
    // The Deployment last: what stands before its pods do, and its revision tells that the slot is whole, so that a
    // driver killed in between is seen to have left something.
    let of = |kinds: &[Kind]| {
        let chosen: Vec<&Value> =
            stamped.iter().filter(|o| manifest::kind_of(o).is_some_and(|k| kinds.contains(&k))).collect();
        futures::future::try_join_all(chosen.into_iter().map(|o| put(site, o, live(o), epoch)))
    };
    of(&[Kind::Service, Kind::PodDisruptionBudget, scaler]).await?;
    if !template.body["autoscaling"].is_object()
        && let Some(scaler) = found.get(&scaler).and_then(Option::as_ref)
        && change::ours(&site.service, scaler)
    {
        write::delete(site, scaler).await?;
    }
    Ok(of(&[Kind::Deployment]).await?.pop().context("a slot has a Deployment")?)
}

/// Applies what differs; returns the object as it is then.
async fn put(site: &Site, object: &Value, live: Option<&Value>, epoch: u64) -> platform::Result<Value> {
    let object = &change::unheld(object, live);
    let same = |l: &&Value| write::epoch(l) == epoch && compare::fulfilled(&manifest::inert(object), l);
    match live.filter(same) {
        Some(live) => Ok(live.clone()),
        None => write::apply(site, object, live).await,
    }
}

/// Removes every object of the service: what starts pods first, its state last.
pub async fn delete(site: &Site) -> anyhow::Result<Vec<Change>> {
    remove::all(site).await
}

fn refused(site: &Site, error: Error, doing: &str) -> anyhow::Error {
    match error {
        Error::NotFound(text) if text.contains("namespaces \"") => {
            preflight::no_namespace(&site.namespace).into()
        }
        other => failure::of(other, doing),
    }
}

fn input<'a>(release: &'a Release, key: &'a [u8]) -> anyhow::Result<Input<'a>> {
    let image = release.image.as_deref().context("a release for Kubernetes names its image")?;
    Ok(Input { service: &release.service, image, secrets: &release.secrets, key })
}

/// What the cluster has of the service.
pub async fn survey(site: &Site, release: &Release) -> anyhow::Result<Live> {
    let mut kinds = BTreeSet::new();
    if !release.secrets.is_empty() {
        kinds.insert(Kind::Secret);
    }
    kinds.extend(site.router.iter().flat_map(Router::all_kinds).copied());
    Live::read(site, &kinds).await.map_err(|e| refused(site, e, "list what is there"))
}

/// What `install` would do about what is.
async fn planned(
    site: &Site,
    live: &Live,
    release: &Release,
    template: &Template,
) -> anyhow::Result<Vec<Planned>> {
    let key = key(site, release).await?;
    let slot = live.slot(site);
    let routes = site.router.as_ref().map(|r| r.objects(&release.service, slot)).unwrap_or_default();
    let routed: Vec<(Kind, String)> = routes
        .iter()
        .filter_map(|o| Some((manifest::kind_of(o)?, manifest::name_of(o).to_owned())))
        .collect();
    let waves = manifest::shared(&input(release, &key)?, routes, slot);
    let mut planned: Vec<Planned> = Vec::new();
    let waves = adapted(site, waves, release.service.port);
    for (wave, objects) in waves.into_iter().enumerate() {
        planned.extend(objects.iter().filter_map(|o| Planned::of(site, live, o, wave)));
    }
    for slot in Slot::ALL {
        if let Some(deployment) = live.deployment(site, slot).filter(|d| runs(Some(d), template)) {
            planned.extend(slot_changes(site, live, template, slot, revision(deployment)));
        }
    }
    planned.extend(change::unwanted(live, release, site, &routed));
    change::refuse_foreign(site, &planned)
        .await
        .map_err(|e| failure::of(e, "look for objects in the way"))?;
    Ok(planned)
}

/// Beside an adopted Deployment: the public Service that was there is left as it is, one made anew selects the adopted
/// pods, and they get a slot's Service where a router needs one.
fn adapted(site: &Site, mut waves: [Vec<Value>; 3], port: u16) -> [Vec<Value>; 3] {
    let Some(adopted) = &site.adopted else { return waves };
    let public = |o: &Value| o["kind"] == "Service" && manifest::name_of(o) == site.service;
    if adopted.service.is_some() {
        waves[1].retain(|o| !public(o));
    }
    if !adopted.active {
        return waves;
    }
    let ours = |service: &mut Value| {
        service["spec"]["selector"] = json!(adopted.labels);
        for each in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
            each["targetPort"] = port.into();
        }
    };
    waves[1].iter_mut().filter(|o| public(o)).for_each(ours);
    if site.router.is_some() {
        waves[1].push(manifest::slot_service(&site.service, adopted.slot, &adopted.labels, port));
    }
    waves
}

fn slot_changes(site: &Site, live: &Live, template: &Template, slot: Slot, revision: u32) -> Vec<Planned> {
    let objects = manifest::slot_objects(template, slot, revision);
    objects.iter().filter_map(|o| Planned::of(site, live, o, change::SLOTS)).collect()
}

fn runs(deployment: Option<&Value>, template: &Template) -> bool {
    deployment.is_some_and(|d| d["metadata"]["annotations"][names::TEMPLATE] == template.hash.as_str())
}

fn revision(deployment: &Value) -> u32 {
    deployment["metadata"]["annotations"][names::REVISION].as_str().and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// The key that secrets' names are hashed with: the service's, else one that this process would make it.
async fn key(site: &Site, release: &Release) -> anyhow::Result<Vec<u8>> {
    if release.secrets.is_empty() {
        return Ok(Vec::new());
    }
    let name = names::hash_key(&site.service);
    let found = api::find(site, Kind::Secret, &name).await;
    let found = found.map_err(|e| refused(site, e, &format!("read Secret/{name}")))?;
    Ok(match found.as_ref().and_then(|s| s["data"]["key"].as_str()) {
        Some(text) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .with_context(|| format!("Secret/{name} holds no key"))?,
        None => new_key().to_vec(),
    })
}

fn new_key() -> &'static [u8; 32] {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    KEY.get_or_init(rand::random)
}

async fn ensure_key(site: &Site, release: &Release, epoch: u64) -> anyhow::Result<()> {
    let name = names::hash_key(&site.service);
    let doing = format!("make Secret/{name}");
    if release.secrets.is_empty() {
        return Ok(());
    }
    let found = api::find(site, Kind::Secret, &name).await;
    if found.map_err(|e| failure::of(e, &doing))?.is_some() {
        return Ok(());
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": name,
            "labels": {names::NAME: site.service, names::MANAGED_BY: "msctl"},
            "annotations": {names::EPOCH: epoch.to_string()},
        },
        "data": {"key": base64::engine::general_purpose::STANDARD.encode(new_key())},
    });
    let made = match write::create(site, &object).await {
        // A repeated request finds its own first try.
        Err(Error::Conflict(what)) => match api::find(site, Kind::Secret, &name).await {
            Ok(Some(found)) if found["data"] == object["data"] => Ok(()),
            Ok(_) => Err(Error::Conflict(what)),
            Err(error) => Err(error),
        },
        other => other,
    };
    made.map_err(|e| failure::of(e, &doing))
}
