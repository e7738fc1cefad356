//! Answers the calls of the API: each reads or changes one service's record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Agent;
use super::entry::Entry;
use super::observe::observe;
use super::record::{Record, SlotSpec, StateDocument};
use crate::platform::local::api::{Call, Description, Fault, Observed, Program, Secrets, ServiceSpec};
use crate::platform::local::places::{Places, remove, write_json};
use crate::platform::local::process::listener_of;
use crate::platform::local::proxy::{Front, Proxy};
use crate::platform::{Error, Lease, Template};
use crate::rollout::{Effect, Routing, Selection, Slot};

pub(super) const LONG_POLL: Duration = Duration::from_secs(30);
/// A built version nobody names is removed when it was not asked for so long: its deploy may just begin.
const UNNAMED_FOR: Duration = Duration::from_secs(600);

pub(super) type Answer = Result<Value, Fault>;

impl Agent {
    pub async fn answer(self: &Arc<Self>, service: &str, call: Call) -> Answer {
        match call {
            Call::Changed { seen } => self.changed(service, seen).await,
            Call::Delete => self.delete(service).await,
            Call::Get { slot, path } => self.ask(service, slot, &path).await,
            Call::Migrate { run, epoch } if !self.ending() => self.migrate(service, run, epoch).await,
            Call::Describe
            | Call::Load
            | Call::Lease
            | Call::Epoch
            | Call::Observe
            | Call::Restarting { .. }
            | Call::GetTemplate { .. } => self.read(service, &call),
            call => self.write(service, call),
        }
    }

    fn read(&self, service: &str, call: &Call) -> Answer {
        let services = self.lock();
        let empty = Record::default();
        let entry = services.get(service);
        let record = entry.map_or(&empty, |e| &e.record);
        let answer = match call {
            Call::Load => serde_json::to_value(&record.state),
            Call::Lease => serde_json::to_value(&record.lease),
            Call::Epoch => serde_json::to_value(record.epoch),
            Call::GetTemplate { revision } => match record.templates.get(revision) {
                Some(template) => serde_json::to_value(template),
                None => return Err(not_found(format!("revision {revision} of {service}"))),
            },
            Call::Restarting { slot } => {
                let generation = record.slots.get(slot).map_or(0, |s| s.generation);
                let now = Timestamp::now();
                let old = record.of_slot(*slot).filter(|r| r.generation < generation).count();
                let coming = record.seen(*slot, now).iter().filter(|s| !s.available).count();
                serde_json::to_value(old + coming)
            }
            Call::Observe => serde_json::to_value(Observed {
                observation: observe(record, Timestamp::now()),
                seq: entry.map_or(0, Entry::seq),
            }),
            _ => serde_json::to_value(Description {
                spec: record.spec.clone(),
                selection: record.selection,
                routing: record.routing.clone(),
                slots: record.slots.iter().map(|(slot, spec)| (*slot, spec.revision)).collect(),
            }),
        };
        answer.map_err(|e| Fault::from(anyhow::Error::from(e)))
    }

    /// A change is on disk before it is answered; what cannot be written did not happen.
    fn write(self: &Arc<Self>, service: &str, call: Call) -> Answer {
        if self.ending() {
            return Err(Fault::Failed { message: "the local platform is being taken down".into() });
        }
        let mut services = self.lock();
        let entry =
            services.entry(service.to_owned()).or_insert_with(|| Entry::new(service, Record::default()));
        let before = entry.record.clone();
        let answer = if before.deleting {
            Err(Error::Terminating(service.to_owned()).into())
        } else {
            apply(entry, &self.places, call)
        };
        let answer = answer.and_then(|answer| entry.save(&self.places).map(|()| answer).map_err(Fault::from));
        match answer {
            Ok(answer) => {
                entry.settle(self);
                Ok(answer)
            }
            Err(fault) => {
                let fresh = before == Record::default();
                entry.record = before;
                if fresh {
                    services.remove(service);
                }
                Err(fault)
            }
        }
    }

    async fn changed(&self, service: &str, seen: u64) -> Answer {
        let watch = self.lock().get(service).map(Entry::watch);
        match watch {
            Some(mut watch) => {
                // Ends early when the service is deleted.
                let waited = tokio::time::timeout(LONG_POLL, watch.wait_for(|n| *n != seen)).await;
                drop(waited);
            }
            // It may be installed any moment; there is nothing to watch until then.
            None => tokio::time::sleep(Duration::from_millis(250)).await,
        }
        Ok(Value::Null)
    }

    async fn delete(self: &Arc<Self>, service: &str) -> Answer {
        let had = self.with(service, |entry| {
            entry.record.deleting = true;
            entry.front = None;
            entry.stop_migration();
            for spec in entry.record.slots.values_mut() {
                spec.replicas = 0;
            }
            let port = entry.record.spec.take().map(|s| s.port);
            (port, entry.record.slots.keys().copied().collect::<Vec<_>>())
        });
        let Some((port, slots)) = had else { return Ok(json!([])) };
        while self.lock().get(service).is_some_and(Entry::has_processes) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if let Some(entry) = self.lock().remove(service) {
            entry.bump();
        }
        for path in self.places.of_service(service) {
            remove(&path)?;
        }
        let mut gone: Vec<String> = slots.iter().map(|slot| format!("Slot/{service}-{slot}")).collect();
        gone.extend(port.map(|port| format!("Port/{port}")));
        Ok(json!(gone))
    }
}

pub(super) fn not_found(what: String) -> Fault {
    Error::NotFound(format!("{what} is not there")).into()
}

/// A driver that was overtaken must stop; one that is ahead has raised the epoch by this.
pub(super) fn fence(record: &mut Record, epoch: u64) -> Result<(), Fault> {
    if epoch < record.epoch {
        return Err(Error::Overtaken { seen: record.epoch, ours: epoch }.into());
    }
    record.epoch = epoch;
    Ok(())
}

fn apply(entry: &mut Entry, places: &Places, call: Call) -> Answer {
    let record = &mut entry.record;
    let now = Timestamp::now();
    match call {
        Call::Install { spec, secrets, epoch } => return install(entry, places, *spec, secrets, epoch),
        Call::Save { body, version } => return save(record, &entry.name, body, version),
        Call::PutTemplate { revision, template } => {
            put_template(record, &entry.name, places, revision, template)?
        }
        Call::TakeLease { holder, seen } => return take_lease(record, &entry.name, holder, seen, now),
        Call::RenewLease { held, release } => return renew_lease(record, &entry.name, &held, release, now),
        Call::RaiseEpoch { epoch } => fence(record, epoch)?,
        Call::Execute { effect, epoch } => {
            fence(record, epoch)?;
            execute(record, &entry.name, places, effect, now)?;
        }
        Call::Restart { slot } => {
            let name = format!("slot {slot} of {}", entry.name);
            let spec = record.slots.get_mut(&slot).ok_or_else(|| not_found(name))?;
            spec.generation += 1;
            return Ok(json!(spec.replicas));
        }
        _ => {}
    }
    Ok(Value::Null)
}

fn install(
    entry: &mut Entry,
    places: &Places,
    spec: ServiceSpec,
    secrets: Option<Secrets>,
    epoch: u64,
) -> Answer {
    fence(&mut entry.record, epoch)?;
    if entry.front.as_ref().is_none_or(|f| f.port != spec.port) {
        let opened = Front::open(&entry.proxy, spec.port);
        entry.front = Some(opened.map_err(|e| match e.kind() {
            std::io::ErrorKind::AddrInUse => Fault::PortTaken { port: spec.port, by: listener_of(spec.port) },
            _ => Fault::Failed { message: format!("open port {}: {e}", spec.port) },
        })?);
        entry.front_problem = None;
    }
    if let Some(secrets) = secrets {
        write_json(&places.secrets(&entry.name).join(format!("{}.json", secrets.digest)), &secrets)?;
    }
    let record = &mut entry.record;
    record.spec = Some(spec);
    // Only a rollout moves these later.
    record.selection.get_or_insert(Selection::Blue);
    if record.routing.is_none() {
        (record.routing, record.routed) = (Some(Routing::all(Slot::Blue)), Some(Timestamp::now()));
    }
    Ok(Value::Null)
}

fn save(record: &mut Record, service: &str, body: String, version: Option<String>) -> Answer {
    if record.state.as_ref().map(|s| &s.version) != version.as_ref() {
        return Err(Error::Conflict(format!("the rollout state of {service}")).into());
    }
    let version = record.number().to_string();
    record.state = Some(StateDocument { body, version: version.clone() });
    Ok(json!(version))
}

fn put_template(
    record: &mut Record,
    service: &str,
    places: &Places,
    revision: u32,
    template: Template,
) -> Result<(), Fault> {
    let known = record.templates.get(&revision).map(|t| t.hash.clone());
    if known.as_ref().is_some_and(|hash| *hash != template.hash) && record.named(revision) {
        return Err(Error::Conflict(format!("revision {revision} of {service}")).into());
    }
    let program: Program = serde_json::from_value(template.body.clone()).map_err(anyhow::Error::from)?;
    if !places.revision(service, &program.build).join("built").exists() {
        return Err(not_found(format!("build {} of {service}", program.build)));
    }
    record.templates.insert(revision, template);
    Ok(())
}

fn take_lease(
    record: &mut Record,
    service: &str,
    holder: String,
    seen: Option<Lease>,
    now: Timestamp,
) -> Answer {
    if record.lease.as_ref().map(|l| &l.version) != seen.as_ref().map(|l| &l.version) {
        return Err(Error::Conflict(format!("the lease of {service}")).into());
    }
    let version = record.number().to_string();
    let lease = Lease { holder, acquired: Some(now), renewed: Some(now), version };
    record.lease = Some(lease.clone());
    Ok(json!(lease))
}

fn renew_lease(record: &mut Record, service: &str, held: &Lease, release: bool, now: Timestamp) -> Answer {
    let ours = record.lease.as_ref().is_some_and(|l| l.version == held.version && l.holder == held.holder);
    if !ours {
        return Err(Error::Conflict(format!("the lease of {service}")).into());
    }
    let holder = if release { String::new() } else { held.holder.clone() };
    let version = record.number().to_string();
    let lease = Lease { holder, acquired: held.acquired, renewed: Some(now), version };
    record.lease = Some(lease.clone());
    Ok(json!(lease))
}

fn execute(
    record: &mut Record,
    service: &str,
    places: &Places,
    effect: Effect,
    now: Timestamp,
) -> Result<(), Fault> {
    match effect {
        Effect::Apply { slot, revision } => {
            if !record.templates.contains_key(&revision) {
                return Err(not_found(format!("revision {revision} of {service}")));
            }
            let fresh = SlotSpec { revision, replicas: 0, generation: 0, progressed: now };
            let spec = record.slots.entry(slot).or_insert(fresh);
            if spec.revision != revision {
                (spec.revision, spec.progressed) = (revision, now);
            }
        }
        Effect::Scale { slot, replicas } => {
            let name = format!("slot {slot} of {service}");
            record.slots.get_mut(&slot).ok_or_else(|| not_found(name))?.replicas = replicas;
        }
        Effect::Route(routing) => {
            Proxy::check(&routing).map_err(|message| Fault::Failed { message })?;
            if record.routing.as_ref() != Some(&routing) {
                (record.routing, record.routed) = (Some(routing), Some(now));
            }
        }
        Effect::Select(selection) => record.selection = Some(selection),
        // None was begun here: a deploy that has such a step is refused.
        Effect::Experiment { revisions: None, .. } => {}
        Effect::Experiment { revisions: Some(_), .. } => {
            return Err(Fault::Failed { message: "the local platform runs no experiments".into() });
        }
        // Nothing scales by itself here.
        Effect::Rebound { .. } => {}
        Effect::Prune { keep } => prune(record, service, places, &keep)?,
    }
    Ok(())
}

/// Drops what no kept revision needs, and never what a slot or a process names.
fn prune(record: &mut Record, service: &str, places: &Places, keep: &[u32]) -> Result<(), Fault> {
    let dropped: Vec<u32> =
        record.templates.keys().copied().filter(|r| !keep.contains(r) && !record.named(*r)).collect();
    for revision in dropped {
        record.templates.remove(&revision);
    }
    let programs: BTreeMap<u32, Program> =
        record.templates.keys().filter_map(|r| Some((*r, record.program(*r)?))).collect();
    let needed = |name: &str| {
        programs
            .values()
            .any(|p| p.build == name || p.secrets.as_ref().is_some_and(|d| name == format!("{d}.json")))
    };
    for folder in [places.revisions(service), places.secrets(service)] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let used = entry.path().join("used");
            let touched = std::fs::metadata(if used.exists() { used } else { entry.path() });
            let age =
                touched.and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok()).unwrap_or_default();
            if !needed(&entry.file_name().to_string_lossy()) && age > UNNAMED_FOR {
                remove(&entry.path())?;
            }
        }
    }
    Ok(())
}
