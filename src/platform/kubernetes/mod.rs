//! Kubernetes: slots are Deployments, state is a ConfigMap, the driver's lock a Lease.
//! Nothing is installed in the cluster, and opening makes no request.

mod adoption;
mod ask;
mod autoscaler;
mod client;
mod clock;
pub mod config;
mod exec;
mod execute;
mod experiment;
mod fence;
mod jobs;
mod lease;
mod logs;
mod observe;
mod problems;
pub mod release;
mod restart;
mod router;
mod selector;
mod session;
mod standin;
mod state;
mod store;
mod story;
mod transport;
mod vanish;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::sync::{OnceCell, mpsc};

use self::client::Cluster;
use self::observe::Seen;
use self::problems::Problems;
use self::release::Site;
use self::router::Router;
use self::watch::{Watches, slot_of};
use super::{
    Adoption, Answer, Capabilities, Change, Configuration, Demand, JobEnd, JobRun, Lease, LogLine, LogQuery,
    MigrationRun, Owned, Platform, Release, Result, StandIn, Stored, Template,
};
use crate::context::Ctx;
use crate::manifest::driver::{self, Driver};
use crate::manifest::{Kind, names};
use crate::rollout::{Adopted, Effect, Observation, Slot};
use crate::service::Service;
use crate::settings::Target;

/// One service in one namespace of one cluster.
pub struct Kubernetes {
    cluster: Cluster,
    service: Service,
    router: OnceCell<Option<Router>>,
    watches: OnceCell<Watches>,
    problems: Problems,
    /// Of each Deployment's pods, for those that vanish.
    pods: Mutex<BTreeMap<String, vanish::Memory>>,
    /// By the last `preflight`.
    found: Mutex<Option<release::Found>>,
    templates: Mutex<BTreeMap<u32, Template>>,
    /// As the state was last read or saved.
    adopted: Mutex<Option<Adopted>>,
}

pub async fn open(ctx: &Ctx, service: &Service, target: &Target) -> anyhow::Result<Arc<dyn Platform>> {
    let access = config::access(&ctx.settings, target).await?;
    Ok(Arc::new(Kubernetes {
        cluster: Cluster::new(ctx, access),
        service: service.clone(),
        router: OnceCell::new(),
        watches: OnceCell::new(),
        problems: Problems::default(),
        pods: Mutex::default(),
        found: Mutex::new(None),
        templates: Mutex::new(BTreeMap::new()),
        adopted: Mutex::new(None),
    }))
}

impl Kubernetes {
    fn name(&self) -> &str {
        &self.service.service
    }

    fn driver<'a>(&'a self, service: &'a Service, wanted: &'a StandIn) -> Driver<'a> {
        Driver {
            service,
            namespace: &self.cluster.namespace,
            image: &wanted.image,
            arguments: &wanted.arguments,
            ports: &wanted.ports,
            adopted: self.adopted(),
        }
    }

    /// What splits the traffic; looked for once, and only when the service is exposed.
    async fn router(&self) -> Result<Option<&Router>> {
        let found = self.router.get_or_try_init(|| router::find(&self.cluster, &self.service)).await?;
        Ok(found.as_ref())
    }

    /// The kinds of the router's objects that a rollout writes.
    async fn route_kinds(&self) -> Result<&'static [Kind]> {
        Ok(self.router().await?.map_or(&[], Router::kinds))
    }

    async fn site(&self) -> Result<Site> {
        Ok(Site {
            client: self.cluster.client.clone(),
            namespace: self.cluster.namespace.clone(),
            service: self.name().to_owned(),
            router: self.router().await?.cloned(),
            adopted: self.adopted.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }

    /// A Deployment of somebody else that stands in a slot's place.
    fn adopted(&self) -> Option<Adopted> {
        let known = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().filter(|a| a.active)
    }

    /// The name of the slot's Deployment.
    fn deployment(&self, slot: Slot) -> String {
        match self.adopted().filter(|a| a.slot == slot) {
            Some(adopted) => adopted.deployment,
            None => names::slot(self.name(), slot),
        }
    }

    /// The Deployment's pods that vanished unasked since this was opened.
    fn lost(&self, deployment: &Deployment, pods: &[Arc<Pod>], now: Timestamp) -> Vec<String> {
        let mut known = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(deployment.name_any()).or_default().follow(deployment, pods, now).to_vec()
    }

    /// The name of the autoscaler that acts on it.
    fn scaler(&self, slot: Slot) -> String {
        let adopted = self.adopted().filter(|a| a.slot == slot).and_then(|a| a.scaler);
        adopted.map_or_else(|| names::slot(self.name(), slot), |s| s.name)
    }

    /// What is written beside what carries the service's labels.
    fn unlabelled(&self) -> Vec<(fence::Terms, String)> {
        let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let scaler = |a: &Adopted| Some((fence::SCALER, a.scaler.as_ref()?.name.clone()));
        let all = adopted.iter().flat_map(|a| [Some((fence::DEPLOYMENT, a.deployment.clone())), scaler(a)]);
        all.flatten().collect()
    }

    /// Of the state only this concerns the adapter.
    fn note_adopted(&self, body: &str) {
        #[derive(serde::Deserialize)]
        struct Part {
            #[serde(default)]
            adopted: Option<Adopted>,
        }
        if let Ok(part) = serde_json::from_str::<Part>(body) {
            *self.adopted.lock().unwrap_or_else(PoisonError::into_inner) = part.adopted;
        }
    }

    /// A revision's template never changes, so it is read once.
    async fn known_template(&self, revision: u32) -> Result<Template> {
        let known = self.templates.lock().unwrap_or_else(PoisonError::into_inner).get(&revision).cloned();
        match known {
            Some(template) => Ok(template),
            None => state::get_template(&self.cluster, self.name(), revision).await,
        }
    }

    /// Our own renewal wakes nobody either.
    fn known(&self, object: k8s_openapi::api::coordination::v1::Lease) -> Lease {
        let lease = lease::read(&object);
        if let Some(watches) = self.watches.get() {
            watches.lease.written(object);
        }
        lease
    }

    /// Asked only once something of ours has vanished: the namespace takes all with it when it goes.
    async fn terminating(&self, watches: &Watches) -> bool {
        if !watches.vanished() {
            return false;
        }
        let api = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(self.cluster.client.clone());
        match api.get_metadata_opt(&self.cluster.namespace).await {
            Ok(found) => found.is_none_or(|n| n.metadata.deletion_timestamp.is_some()),
            // Who may not look at namespaces meets the refusal of the next write.
            Err(_) => false,
        }
    }

    async fn watches(&self) -> Result<&Watches> {
        let routes = self.route_kinds().await?;
        let adopted = self.adopted();
        self.watches
            .get_or_try_init(|| Watches::start(&self.cluster, self.name(), routes, adopted.as_ref()))
            .await
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        let requests = self.cluster.requests();
        self.cluster.ui.detail(format!("{requests} requests went to the API server ({})", self.place()));
    }
}

#[async_trait]
impl Platform for Kubernetes {
    fn place(&self) -> String {
        self.cluster.place()
    }

    async fn capabilities(&self) -> Result<Capabilities> {
        Ok(router::capabilities(self.router().await?))
    }

    async fn template(&self, _ctx: &Ctx, release: &Release) -> anyhow::Result<Template> {
        release::template(&self.site().await?, release).await
    }

    async fn preflight(&self, release: &Release) -> anyhow::Result<Vec<String>> {
        let site = self.site().await?;
        let found = release::preflight(&site, release).await?;
        let warnings = found.warnings.clone();
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(warnings)
    }

    async fn inspect(&self, deployment: &str) -> anyhow::Result<Adoption> {
        adoption::inspect(
            &self.cluster,
            &self.site().await?,
            &self.service,
            deployment,
            self.route_kinds().await?,
        )
        .await
    }

    fn owned(&self) -> Vec<Owned> {
        release::owned(self.name(), self.service.expose.is_some(), self.service.autoscaling.is_some())
    }

    async fn fits(&self, demand: &Demand) -> anyhow::Result<Vec<String>> {
        let site = self.site().await?;
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.as_ref().map_or(Ok(Vec::new()), |found| found.fits(demand, &site))
    }

    async fn configuration(&self, template: &Template) -> Configuration {
        state::configuration(&self.cluster, template).await
    }

    async fn diff(&self, release: &Release, template: &Template) -> anyhow::Result<Vec<Change>> {
        release::diff(&self.site().await?, release, template).await
    }

    async fn install(
        &self,
        release: &Release,
        template: &Template,
        epoch: u64,
    ) -> anyhow::Result<Vec<Change>> {
        let site = self.site().await?;
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The state's version is the same: nobody drove since the preflight looked.
        let now = self.watches.get().map(Watches::state_version);
        let live = found.map(|f| f.live).filter(|l| now == Some(l.state_version(&site)));
        release::install(&site, release, template, live.as_ref(), epoch).await
    }

    async fn delete(&self) -> anyhow::Result<Vec<Change>> {
        let mut changes = release::delete(&self.site().await?).await?;
        let removed = standin::remove(&self.cluster, self.name()).await?;
        changes.extend(removed.into_iter().map(|object| Change {
            object,
            action: super::Action::Delete,
            diff: String::new(),
        }));
        Ok(changes)
    }

    async fn load(&self) -> Result<Option<Stored>> {
        let stored = state::load(&self.cluster, self.name()).await?;
        if let Some(stored) = &stored {
            self.note_adopted(&stored.body);
        }
        Ok(stored)
    }

    async fn save(&self, body: &str, version: Option<&str>) -> Result<String> {
        let saved = state::save(&self.cluster, self.name(), body, version).await?;
        self.note_adopted(body);
        let version = saved.resource_version().unwrap_or_default();
        // Seen already, so its own event wakes nobody.
        if let Some(watches) = self.watches.get() {
            watches.state.written(saved);
        }
        Ok(version)
    }

    async fn put_template(&self, revision: u32, template: &Template) -> Result<()> {
        state::put_template(&self.cluster, self.name(), revision, template).await?;
        self.templates.lock().unwrap_or_else(PoisonError::into_inner).insert(revision, template.clone());
        Ok(())
    }

    async fn get_template(&self, revision: u32) -> Result<Template> {
        state::get_template(&self.cluster, self.name(), revision).await
    }

    async fn keep_story(&self, deploy: u32, body: &str, version: Option<&str>, keep: u32) -> Result<String> {
        story::keep(&self.cluster, self.name(), deploy, body, version, keep).await
    }

    async fn stories(&self, deploy: Option<u32>) -> Result<Vec<Stored>> {
        story::stories(&self.cluster, self.name(), deploy).await
    }

    async fn lease(&self) -> Result<Option<Lease>> {
        Ok(lease::get(&self.cluster, self.name()).await?.as_ref().map(lease::read))
    }

    async fn take_lease(&self, holder: &str, seen: Option<&Lease>) -> Result<Lease> {
        let taken = lease::take(&self.cluster, self.name(), holder, seen).await?;
        Ok(self.known(taken))
    }

    async fn renew_lease(&self, held: &Lease, release: bool) -> Result<Lease> {
        match lease::renew(&self.cluster, self.name(), held, release).await? {
            Some(renewed) => Ok(self.known(renewed)),
            None => Ok(Lease { holder: String::new(), ..held.clone() }),
        }
    }

    async fn epoch(&self) -> Result<u64> {
        fence::highest(&self.cluster, self.name(), self.route_kinds().await?, &self.unlabelled()).await
    }

    async fn raise_epoch(&self, epoch: u64) -> Result<()> {
        fence::raise(&self.cluster, self.name(), self.route_kinds().await?, &self.unlabelled(), epoch).await
    }

    async fn observe(&self) -> Result<Observation> {
        let watches = self.watches().await?;
        watches.look();
        let routes = watches.route_objects();
        let router = self.router().await?;
        let adopted = self.adopted();
        let (deployments, pods) = watches.slots(adopted.as_ref());
        let seen = Seen {
            now: self.cluster.clock.now(),
            deployments,
            pods,
            adopted,
            service: watches.services.get(self.name()),
            slices: watches.slices.all(),
            route: router.and_then(|r| r.observed(&self.service, &routes)),
            state_version: watches.state_version(),
            terminating: self.terminating(watches).await,
        };
        let mut observation = observe::observation(self.name(), &seen);
        for deployment in &seen.deployments {
            let Some(slot) = slot_of(deployment.as_ref()) else { continue };
            let pods: Vec<_> =
                seen.pods.iter().filter(|p| slot_of(p.as_ref()) == Some(slot)).cloned().collect();
            let problems = self.problems.of(&self.cluster, deployment, &pods).await;
            let name = self.scaler(slot);
            let scaler = watches.scalers(&name).get(&name);
            if let Some(slot) = observation.slots.get_mut(&slot) {
                slot.problems = problems;
                slot.lost = self.lost(deployment, &pods, seen.now);
                slot.scaler = scaler.as_deref().and_then(autoscaler::read);
            }
        }
        if let (Some(experiment), Some(deployment)) =
            (&mut observation.experiment, experiment::candidate(&seen.deployments))
        {
            let pods = experiment::pods(&seen.pods, true);
            experiment.candidate.lost = self.lost(deployment, &pods, seen.now);
        }
        Ok(observation)
    }

    async fn reread(&self) -> Result<()> {
        self.watches().await?.reread(&self.cluster, self.name()).await
    }

    async fn changed(&self) {
        match self.watches().await {
            Ok(watches) => watches.changed().await,
            // `observe` meets the same error and reports it; this only must not spin.
            Err(_) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
        }
    }

    async fn execute(&self, effect: &Effect, epoch: u64) -> Result<()> {
        execute::execute(self, effect, epoch).await
    }

    fn stand_in_objects(&self, wanted: &StandIn) -> Result<Vec<serde_json::Value>> {
        Ok(driver::access(&self.driver(&self.service, wanted)))
    }

    async fn may_stand_in(&self, wanted: &StandIn) -> anyhow::Result<()> {
        standin::may(&self.cluster, &self.driver(&self.service, wanted)).await
    }

    async fn stand_in(&self, wanted: &StandIn, revision: u32, epoch: u64) -> anyhow::Result<String> {
        let mut service = self.service.clone();
        // What this machine found, the driver need not be allowed to look for.
        if let Some(router) = self.router().await? {
            (service.traffic.router, service.traffic.gateway) = router.named();
        }
        standin::start(&self.cluster, &self.driver(&service, wanted), revision, epoch).await
    }

    async fn dismiss(&self, name: &str, epoch: u64) -> Result<Option<String>> {
        standin::stop(&self.cluster, name, epoch).await
    }

    fn namespace(&self) -> String {
        self.cluster.namespace.clone()
    }

    fn has_jobs(&self) -> bool {
        true
    }

    async fn get_fresh(&self, candidate: bool, path: &str) -> Result<Vec<Answer>> {
        let pods = experiment::pods(&self.watches().await?.pods.all(), candidate);
        ask::get(&self.cluster, pods, self.service.port, path).await
    }

    async fn job(&self, run: &JobRun, epoch: u64) -> Result<JobEnd> {
        jobs::measure(&self.cluster, self.name(), run, epoch).await
    }

    async fn migrate(&self, run: &MigrationRun, epoch: u64) -> Result<JobEnd> {
        let template = self.known_template(run.revision).await?;
        jobs::migrate(&self.cluster, self.name(), &template, run, epoch).await
    }

    async fn sweep_jobs(&self, keep: &[String], epoch: u64) -> Result<()> {
        jobs::sweep(&self.cluster, self.name(), keep, epoch).await
    }

    async fn may_ask(&self) -> Result<bool> {
        ask::allowed(&self.cluster).await
    }

    async fn get(&self, slot: Slot, path: &str) -> Result<Vec<Answer>> {
        let watches = self.watches().await?;
        let (deployments, mut pods) = watches.slots(self.adopted().as_ref());
        let Some(deployment) = deployments.iter().find(|d| slot_of(d.as_ref()) == Some(slot)) else {
            return Ok(Vec::new());
        };
        let revision = observe::revision_of(deployment);
        pods.retain(|p| slot_of(p.as_ref()) == Some(slot) && observe::is_present(p, revision));
        ask::get(&self.cluster, pods, self.service.port, path).await
    }

    async fn logs(&self, query: &LogQuery, lines: mpsc::Sender<LogLine>) -> anyhow::Result<()> {
        logs::logs(&self.cluster, self.name(), query, lines).await
    }

    async fn restart(&self, slot: Slot, progress: &super::Replaced<'_>) -> anyhow::Result<u32> {
        let watches = self.watches().await?;
        restart::restart(&self.cluster, watches, self.adopted().as_ref(), slot, progress).await
    }
}
