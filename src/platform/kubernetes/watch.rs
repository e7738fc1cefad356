//! One label-selected watch a kind feeds the caches. Objects are stripped of what nobody here reads, so that a
//! thousand pods stay small.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Container, ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{Api, DynamicObject, ListParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinSet;

use super::client::Cluster;
use super::problems::is_sick;
use super::router::Objects;
use super::store::Store;
use super::vanish::DISRUPTION;
use super::{fence, lease, state};
use crate::manifest::{Kind, names};
use crate::platform::{Error, Result};
use crate::rollout::{Adopted, Slot};

/// How long the first lists may take, all together.
const FIRST: Duration = Duration::from_secs(30);
/// Bounds what is decoded at once.
const PAGE: u32 = 100;

/// The adopted Deployment and its pods.
type Theirs = (Arc<Store<Deployment>>, Arc<Store<Pod>>);

pub struct Watches {
    pub deployments: Arc<Store<Deployment>>,
    pub pods: Arc<Store<Pod>>,
    pub services: Arc<Store<Service>>,
    pub slices: Arc<Store<EndpointSlice>>,
    pub state: Arc<Store<ConfigMap>>,
    pub lease: Arc<Store<Lease>>,
    /// Of the router, by kind.
    pub routes: Vec<(Kind, Arc<Store<DynamicObject>>)>,
    pub scalers: Arc<Store<HorizontalPodAutoscaler>>,
    adopted: Option<Theirs>,
    /// What acts on the adopted Deployment.
    their_scaler: Option<Arc<Store<HorizontalPodAutoscaler>>>,
    changes: Receiver<u64>,
    /// The change that the last observation had seen.
    seen: AtomicU64,
    had_state: AtomicBool,
    first_error: Receiver<Option<String>>,
    _tasks: JoinSet<()>,
}

struct Feed<'a> {
    cluster: &'a Cluster,
    changes: Sender<u64>,
    errors: Sender<Option<String>>,
    tasks: JoinSet<()>,
}

/// A router hears of endpoints by a watch of its own, which may be slower than ours; and it may hear of a weight that
/// was written meanwhile before. So much later than ours is safe: where two cores do everything, 0.1 s was seen.
const HEAD_START: Duration = Duration::from_millis(500);

/// Each change so much after it came, in order; lists at once.
fn later<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    by: Duration,
) -> impl Stream<Item = watcher::Result<Event<K>>> {
    let held = move |event| {
        let change = matches!(event, Ok(Event::Apply(_) | Event::Delete(_)));
        let wait = tokio::time::sleep(if change { by } else { Duration::ZERO });
        async move {
            wait.await;
            event
        }
    };
    events.map(held).buffered(1024)
}

impl Feed<'_> {
    fn run<K>(&mut self, api: Api<K>, config: watcher::Config, strip: fn(&mut K), what: &str) -> Arc<Store<K>>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        K::DynamicType: Clone,
    {
        let stream = watcher(api, config.page_size(PAGE)).default_backoff();
        self.take(stream, strip, what)
    }

    fn take<K>(
        &mut self,
        stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
        strip: fn(&mut K),
        what: &str,
    ) -> Arc<Store<K>>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        K::DynamicType: Clone,
    {
        let store = Arc::new(Store::default());
        let (to, changes, errors) = (store.clone(), self.changes.clone(), self.errors.clone());
        let (cluster, what) = (self.cluster.clone(), what.to_owned());
        self.tasks.spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => {
                        let event = event.modify(strip);
                        if to.take(event) {
                            changes.send_modify(|n| *n += 1);
                        }
                    }
                    Err(error) => {
                        let text = reason(&cluster, error, &what);
                        cluster.ui.detail(format!("watch of {what}: {text}; it goes on"));
                        if !to.listed() {
                            errors.send_replace(Some(text));
                        }
                    }
                }
            }
        });
        store
    }

    fn kind<K>(&mut self, config: watcher::Config, strip: fn(&mut K), what: &str) -> Arc<Store<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        self.run(self.cluster.api::<K>(), config, strip, what)
    }
}

fn reason(cluster: &Cluster, error: watcher::Error, what: &str) -> String {
    match error {
        watcher::Error::InitialListFailed(e)
        | watcher::Error::WatchStartFailed(e)
        | watcher::Error::WatchFailed(e) => cluster.explain(e, what).to_string(),
        watcher::Error::WatchError(status) => format!("{} ({})", status.message, status.code),
        watcher::Error::NoResourceVersion => "the list has no version".into(),
    }
}

impl Watches {
    /// Starts the watches and returns when all have listed.
    pub async fn start(
        cluster: &Cluster,
        service: &str,
        routes: &[Kind],
        adopted: Option<&Adopted>,
    ) -> Result<Watches> {
        let (changes, changed) = tokio::sync::watch::channel(0);
        let (errors, first_error) = tokio::sync::watch::channel(None);
        let mut feed = Feed { cluster, changes, errors, tasks: JoinSet::new() };
        let labelled = || watcher::Config::default().labels(&format!("{}={service}", names::NAME));
        let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let ours = watcher::Config::default().labels(&names::selector(service));
        let routes = routes.iter().map(|kind| {
            let (version, name, plural) = kind.terms();
            (*kind, feed.run(fence::api(cluster, version, name, plural), ours.clone(), keep, name))
        });
        let routes = routes.collect();
        let scaler = adopted.and_then(|a| a.scaler.as_ref());
        let adopted = adopted.map(|a| {
            let labels: Vec<String> = a.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let pods = watcher::Config::default().labels(&labels.join(","));
            (
                feed.kind(named(&a.deployment), strip_deployment, "Deployments"),
                feed.kind(pods, strip_pod, "Pods"),
            )
        });
        let scaler = scaler.map(|s| feed.kind(named(&s.name), strip_meta, "HorizontalPodAutoscalers"));
        let led = watcher::Config::default().labels(&led_by(service)).page_size(PAGE);
        let slices = watcher(cluster.api::<EndpointSlice>(), led).default_backoff();
        let watches = Watches {
            adopted,
            their_scaler: scaler,
            deployments: feed.kind(labelled(), strip_deployment, "Deployments"),
            pods: feed.kind(labelled(), strip_pod, "Pods"),
            services: feed.kind(named(service), keep, "Services"),
            scalers: feed.kind(labelled(), strip_meta, "HorizontalPodAutoscalers"),
            slices: feed.take(later(slices, HEAD_START), strip_slice, "EndpointSlices"),
            state: feed.kind(named(&state::name(service)), strip_meta, "ConfigMaps"),
            lease: feed.kind(named(&lease::name(service)), strip_meta, "Leases"),
            routes,
            changes: changed,
            seen: AtomicU64::new(0),
            had_state: AtomicBool::new(false),
            first_error,
            _tasks: feed.tasks,
        };
        watches.listed().await?;
        Ok(watches)
    }

    async fn listed(&self) -> Result<()> {
        let (mut changes, mut errors) = (self.changes.clone(), self.first_error.clone());
        let all = async {
            loop {
                if let Some(text) = errors.borrow_and_update().clone() {
                    return Err(Error::Unreachable(text));
                }
                let ready = self.deployments.listed()
                    && self.pods.listed()
                    && self.services.listed()
                    && self.slices.listed()
                    && self.scalers.listed()
                    && self.adopted.as_ref().is_none_or(|(d, p)| d.listed() && p.listed())
                    && self.their_scaler.as_ref().is_none_or(|s| s.listed())
                    && self.state.listed()
                    && self.lease.listed()
                    && self.routes.iter().all(|(_, r)| r.listed());
                if ready {
                    return Ok(());
                }
                // The senders live as long as the tasks, and those as long as `self`.
                tokio::select! { _ = changes.changed() => {}, _ = errors.changed() => {} }
            }
        };
        tokio::time::timeout(FIRST, all)
            .await
            .unwrap_or_else(|_| Err(Error::Unreachable("the first lists did not come in time".into())))
    }

    /// The router's objects as last seen.
    pub fn route_objects(&self) -> Objects {
        let all =
            self.routes.iter().flat_map(|(kind, store)| store.all().into_iter().map(move |o| (*kind, o)));
        all.map(|(kind, object)| ((kind, object.name_any()), object)).collect()
    }

    /// Deployments and pods of both slots. What is adopted has no label of a slot, and is given one here.
    pub fn slots(&self, adopted: Option<&Adopted>) -> (Vec<Arc<Deployment>>, Vec<Arc<Pod>>) {
        let (mut deployments, mut pods) = (self.deployments.all(), self.pods.all());
        let (Some(adopted), Some((theirs, running))) = (adopted, &self.adopted) else {
            return (deployments, pods);
        };
        let slot = adopted.slot;
        let labelled = |labels: &mut std::collections::BTreeMap<String, String>| {
            labels.entry(names::REVISION.into()).or_insert_with(|| adopted.revision.to_string());
            labels.insert(names::SLOT.into(), slot.name().into());
        };
        deployments.retain(|d| slot_of(d.as_ref()) != Some(slot));
        deployments.extend(theirs.all().iter().map(|d| {
            let mut deployment = Deployment::clone(d);
            labelled(deployment.labels_mut());
            if let Some(spec) = &mut deployment.spec {
                let meta = spec.template.metadata.get_or_insert_default();
                labelled(meta.labels.get_or_insert_default());
            }
            Arc::new(deployment)
        }));
        pods.retain(|p| slot_of(p.as_ref()) != Some(slot));
        pods.extend(running.all().iter().map(|p| {
            let mut pod = Pod::clone(p);
            labelled(pod.labels_mut());
            Arc::new(pod)
        }));
        (deployments, pods)
    }

    /// A slot's Deployment as a write returned it.
    pub fn written(&self, deployment: Deployment) {
        match &self.adopted {
            Some((theirs, _)) if slot_of(&deployment).is_none() => theirs.written(deployment),
            _ => self.deployments.written(deployment),
        }
    }

    /// The cache that holds the autoscaler of this name.
    pub fn scalers(&self, name: &str) -> &Store<HorizontalPodAutoscaler> {
        self.their_scaler.as_ref().filter(|s| s.get(name).is_some()).unwrap_or(&self.scalers)
    }

    /// The state document's version as last seen.
    pub fn state_version(&self) -> Option<String> {
        self.state.all().first().and_then(|s| s.resource_version())
    }

    /// Something of the service is going, or has gone since these watches began.
    pub fn vanished(&self) -> bool {
        let state = !self.state.all().is_empty();
        let had = self.had_state.fetch_or(state, Ordering::AcqRel);
        let going = self.deployments.all().iter().any(|d| d.metadata.deletion_timestamp.is_some());
        going || (had && !state)
    }

    /// Lists what points at the slots into the caches: their watches may be silent.
    pub async fn reread(&self, cluster: &Cluster, service: &str) -> Result<()> {
        let explain = |e| cluster.explain(e, &format!("what points at the slots of {service}"));
        let led = ListParams::default().labels(&led_by(service));
        let ours = ListParams::default().labels(&names::selector(service));
        let (services, slices) = (cluster.api::<Service>(), cluster.api::<EndpointSlice>());
        let (found, list) = futures::join!(services.get_opt(service), slices.list(&led));
        if let Some(found) = found.map_err(explain)? {
            self.services.written(found);
        }
        list.map_err(explain)?.into_iter().for_each(|slice| self.slices.written(slice));
        for (kind, store) in &self.routes {
            let (version, name, plural) = kind.terms();
            let list = fence::api(cluster, version, name, plural).list(&ours).await.map_err(explain)?;
            list.into_iter().for_each(|route| store.written(route));
        }
        Ok(())
    }

    /// Call before reading the caches: what changes later is news.
    pub fn look(&self) {
        self.seen.store(*self.changes.borrow(), Ordering::Release);
    }

    /// Returns once there is news since the last `look`.
    pub async fn changed(&self) {
        let mut changes = self.changes.clone();
        if changes.wait_for(|n| *n != self.seen.load(Ordering::Acquire)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Selects the EndpointSlices of the public Service and of the slots' own.
fn led_by(service: &str) -> String {
    let [blue, green] = Slot::ALL.map(|slot| names::slot(service, slot));
    format!("{} in ({service},{blue},{green})", names::SLICE_OF)
}

/// Who wrote a selector or rules stands in the managed fields.
fn keep<K>(_: &mut K) {}

fn strip_meta<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

fn strip_deployment(deployment: &mut Deployment) {
    strip_meta(deployment);
    if let Some(spec) = &mut deployment.spec {
        spec.template.spec = None;
    }
}

/// Keeps which pods it names, and whether they are ready.
fn strip_slice(slice: &mut EndpointSlice) {
    strip_meta(slice);
    for endpoint in &mut slice.endpoints {
        let target = endpoint.target_ref.take().map(|t| ObjectReference {
            kind: t.kind,
            name: t.name,
            ..ObjectReference::default()
        });
        *endpoint =
            Endpoint { target_ref: target, conditions: endpoint.conditions.take(), ..Endpoint::default() };
    }
}

/// Keeps what counting and diagnosing read.
fn strip_pod(pod: &mut Pod) {
    strip_meta(pod);
    pod.metadata.annotations = None;
    if let Some(spec) = &mut pod.spec {
        let containers = std::mem::take(&mut spec.containers).into_iter().map(|c| Container {
            name: c.name,
            image: c.image,
            readiness_probe: c.readiness_probe,
            liveness_probe: c.liveness_probe,
            ..Container::default()
        });
        let kept = k8s_openapi::api::core::v1::PodSpec {
            containers: containers.collect(),
            node_name: spec.node_name.take(),
            ..Default::default()
        };
        *spec = kept;
    }
    if !is_sick(pod) {
        // Of a thousand pods nearly all are well; only of the others somebody asks why.
        pod.spec = None;
        if let Some(conditions) = pod.status.as_mut().and_then(|s| s.conditions.as_mut()) {
            conditions.retain(|c| c.type_ == "Ready" || c.type_ == DISRUPTION);
            conditions.shrink_to_fit();
        }
        for container in pod.status.iter_mut().flat_map(|s| s.container_statuses.iter_mut().flatten()) {
            container.state = None;
            container.last_state = None;
        }
    }
    if let Some(status) = &mut pod.status {
        status.host_ips = None;
        status.pod_ips = None;
        for container in status.container_statuses.iter_mut().flatten() {
            container.volume_mounts = None;
            container.resources = None;
            container.allocated_resources = None;
        }
    }
}

/// The pod's slot, by its label.
pub fn slot_of(object: &impl ResourceExt) -> Option<crate::rollout::Slot> {
    // An experiment's pods carry a slot's label to get its traffic, and are no part of it.
    if object.labels().contains_key(names::EXPERIMENT) {
        return None;
    }
    let label = object.labels().get(names::SLOT)?;
    crate::rollout::Slot::ALL.into_iter().find(|s| s.name() == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_come_later_in_order_and_lists_at_once() {
        let slice = |name: &str| EndpointSlice {
            metadata: kube::api::ObjectMeta { name: Some(name.into()), ..Default::default() },
            ..EndpointSlice::default()
        };
        let (list, changes) = ([Event::Init, Event::InitApply(slice("a")), Event::InitDone], ["b", "c"]);
        let events = list.into_iter().chain(changes.map(|name| Event::Apply(slice(name))));
        let by = Duration::from_millis(50);
        let began = std::time::Instant::now();
        let mut came = std::pin::pin!(later(futures::stream::iter(events.map(Ok)), by));
        for expected in ["list", "list", "list", "b", "c"] {
            let event = came.next().await.unwrap().unwrap();
            let name = match &event {
                Event::Apply(slice) => slice.name_any(),
                _ => "list".into(),
            };
            assert_eq!(name, expected);
            assert!(name == "list" || began.elapsed() >= by, "{name} after {:?}", began.elapsed());
        }
    }
}
