//! What a release is on Kubernetes: its template, what it would change, and how it is installed and removed.
//! Free functions; the adapter calls them.

mod api;
mod change;
mod compare;
mod failure;
mod inventory;
mod live;
mod ownership;
mod preflight;
mod remove;
mod write;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use anyhow::Context as _;
use base64::Engine as _;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use serde_json::{Value, json};

pub use crate::manifest::Gateway;
use crate::manifest::{self, Input, Kind, names};
use crate::platform::{self, Action, Change, Error, Release, Template};
use crate::rollout::Slot;
use change::Planned;
use live::Live;

/// Writes at a time within a wave; more only queue in the server.
const AT_ONCE: usize = 16;

/// Where one service lives.
#[derive(Clone)]
pub struct Site {
    pub client: Client,
    pub namespace: String,
    pub service: String,
    /// None: no HTTPRoute is made.
    pub gateway: Option<Gateway>,
}

/// What a slot would run. One read where the service has secrets (the key of their names), none otherwise.
pub async fn template(site: &Site, release: &Release) -> anyhow::Result<Template> {
    let key = key(site, release).await?;
    Ok(manifest::template(&input(release, &key)?))
}

/// One list per kind, one dry run per object that differs; nothing is written.
pub async fn diff(site: &Site, release: &Release, template: &Template) -> anyhow::Result<Vec<Change>> {
    let (live, planned) = planned(site, release, template).await?;
    let slot = live.slot(site);
    let mut all = planned;
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
    epoch: u64,
) -> anyhow::Result<Vec<Change>> {
    let (live, planned) = planned(site, release, template).await?;
    ensure_key(site, release, epoch).await?;
    let kinds: BTreeSet<Kind> = planned
        .iter()
        .filter(|p| p.action() != Action::Delete)
        .map(|p| p.kind)
        .chain(live.all().map(|(kind, _)| kind))
        .chain([Kind::Deployment, Kind::PodDisruptionBudget])
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

/// Makes `slot` run `template` as `revision`: Service, budget, Deployment (made with no pods, its number of pods
/// left alone after), autoscaler.
pub async fn apply_slot(
    site: &Site,
    template: &Template,
    slot: Slot,
    revision: u32,
    epoch: u64,
) -> platform::Result<()> {
    let name = names::slot(&site.service, slot);
    let objects = manifest::slot_objects(template, slot, revision);
    let stamped: Vec<Value> = objects.iter().map(|o| write::stamped(site, o, epoch)).collect();
    let found = futures::future::try_join_all(stamped.iter().map(|o| async move {
        let kind = manifest::kind_of(o).context("an object of ours")?;
        Ok::<_, Error>((o, api::find(site, kind, manifest::name_of(o)).await?))
    }))
    .await?;
    // The Deployment last: its Service and budget stand before its pods do.
    let (deployment, rest): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(o, _)| o["kind"] == "Deployment");
    for (object, live) in rest.into_iter().chain(deployment) {
        let foreign = live.as_ref().is_some_and(|l| !change::ours(site, l));
        if foreign {
            return Err(change::foreign(live.as_ref(), object));
        }
        if live
            .as_ref()
            .is_some_and(|l| write::epoch(l) == epoch && compare::fulfilled(&manifest::inert(object), l))
        {
            continue;
        }
        write::apply(site, object, live.as_ref()).await?;
    }
    if !template.body["autoscaling"].is_object()
        && let Some(scaler) = api::find(site, Kind::HorizontalPodAutoscaler, &name).await?
        && change::ours(site, &scaler)
    {
        write::delete(site, &scaler).await?;
    }
    Ok(())
}

/// Removes every object of the service: what starts pods first, its state last.
pub async fn delete(site: &Site) -> anyhow::Result<Vec<Change>> {
    remove::all(site).await
}

/// Whether a deploy could succeed: namespace, rights, quota, admission. Writes nothing; returns warnings.
pub async fn preflight(site: &Site, release: &Release) -> anyhow::Result<Vec<String>> {
    preflight::run(site, release).await
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

/// What is, and what `install` would do about it.
async fn planned(
    site: &Site,
    release: &Release,
    template: &Template,
) -> anyhow::Result<(Live, Vec<Planned>)> {
    let key = key(site, release).await?;
    let mut kinds = BTreeSet::new();
    if !release.secrets.is_empty() {
        kinds.insert(Kind::Secret);
    }
    if site.gateway.is_some() && release.service.expose.is_some() {
        kinds.insert(Kind::HttpRoute);
    }
    let live = Live::read(site, &kinds).await.map_err(|e| refused(site, e, "list what is there"))?;
    let slot = live.slot(site);
    let waves = manifest::shared(&input(release, &key)?, site.gateway.as_ref(), slot);
    let mut planned: Vec<Planned> = Vec::new();
    for (wave, objects) in waves.into_iter().enumerate() {
        planned.extend(objects.iter().filter_map(|o| Planned::of(site, &live, o, wave)));
    }
    for slot in Slot::ALL {
        if let Some(deployment) = live.deployment(site, slot).filter(|d| runs(Some(d), template)) {
            planned.extend(slot_changes(site, &live, template, slot, revision(deployment)));
        }
    }
    planned.extend(change::unwanted(&live, release, site));
    change::refuse_foreign(site, &planned)
        .await
        .map_err(|e| failure::of(e, "look for objects in the way"))?;
    Ok((live, planned))
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
    write::create(site, &object).await.map_err(|e| failure::of(e, &doing))
}
