//! A service in the agent's hands: its record, its proxy, and the tasks that run its processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::record::{Phase, Record, Replica};
use super::{Agent, decide, observe, replica};
use crate::platform::local::places::{Places, write_private};
use crate::platform::local::proxy::{Endpoint, Front, Proxy};
use crate::rollout::{Observation, Slot};

pub struct Entry {
    pub name: String,
    pub record: Record,
    pub proxy: Arc<Proxy>,
    pub front: Option<Front>,
    pub front_problem: Option<String>,
    /// Ends the migration that runs.
    pub migration: Option<CancellationToken>,
    handles: BTreeMap<String, Handle>,
    saved: String,
    shown: Shown,
    seq: watch::Sender<u64>,
}

/// What a rollout can see change: the observation, and the lease's version.
type Shown = (Observation, Option<String>);

/// The running side of a replica.
pub struct Handle {
    pub stop: CancellationToken,
    pub endpoint: Option<Arc<Endpoint>>,
}

impl Entry {
    pub fn new(name: &str, record: Record) -> Self {
        Entry {
            name: name.to_owned(),
            record,
            proxy: Proxy::new(name),
            front: None,
            front_problem: None,
            migration: None,
            handles: BTreeMap::new(),
            saved: String::new(),
            shown: Shown::default(),
            seq: watch::Sender::new(1),
        }
    }

    pub fn seq(&self) -> u64 {
        *self.seq.borrow()
    }
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.seq.subscribe()
    }
    pub fn bump(&self) {
        self.seq.send_modify(|n| *n += 1);
    }
    pub fn handle(&mut self, replica: &str) -> Option<&mut Handle> {
        self.handles.get_mut(replica)
    }

    /// Writes the record if it changed since it was last written.
    pub fn save(&mut self, places: &Places) -> anyhow::Result<()> {
        let text = serde_json::to_string(&self.record)?;
        if text != self.saved {
            let file = places.record(&self.name);
            write_private(&file, text.as_bytes())
                .map_err(|e| anyhow::anyhow!("write {}: {e}", file.display()))?;
            self.saved = text;
        }
        Ok(())
    }

    /// Brings everything in line with the record: processes, the proxy's table, the file, those who wait.
    pub fn settle(&mut self, agent: &Arc<Agent>) {
        let now = Timestamp::now();
        if !agent.ending() {
            for slot in Slot::ALL {
                let Some(want) = self.record.want(slot) else { continue };
                let acts = decide::decide(want, &self.record.seen(slot, now));
                for name in &acts.stop {
                    self.stop_replica(name, now);
                }
                for _ in 0..acts.start {
                    self.start_replica(agent, slot, now);
                }
            }
        }
        self.route();
        self.notice(now);
        if let Err(e) = self.save(&agent.places) {
            agent.say(format!("{}: {e:#}", self.name));
        }
    }

    fn start_replica(&mut self, agent: &Arc<Agent>, slot: Slot, now: Timestamp) {
        let number = self.record.number();
        let Some(spec) = self.record.slots.get_mut(&slot) else { return };
        spec.progressed = now;
        let name = format!("{}-{slot}-{number}", self.name);
        let (revision, generation) = (spec.revision, spec.generation);
        self.record.replicas.push(Replica {
            name: name.clone(),
            slot,
            revision,
            generation,
            phase: Phase::Waiting,
            since: now,
            ready: None,
            restarts: 0,
            streak: 0,
            exit: None,
            probe: None,
        });
        self.run_replica(agent, &name);
    }

    /// Starts the task of a replica that the record holds, in whatever phase it is.
    pub fn run_replica(&mut self, agent: &Arc<Agent>, name: &str) {
        let Some(replica) = self.record.replica(name) else { return };
        let stop = CancellationToken::new();
        if replica.stopping() {
            stop.cancel();
        }
        let endpoint = match replica.phase {
            Phase::Running { port, .. } => Some(Endpoint::new(replica.slot, replica.revision, port)),
            _ => None,
        };
        self.handles.insert(name.to_owned(), Handle { stop: stop.clone(), endpoint });
        tokio::spawn(replica::run(agent.clone(), self.name.clone(), name.to_owned(), stop));
    }

    /// Out of the proxy first; its task tells the process to end when the last request is answered.
    fn stop_replica(&mut self, name: &str, now: Timestamp) {
        if let Some(replica) = self.record.replica_mut(name)
            && !replica.stopping()
        {
            let (birth, port) = (replica.birth(), replica.port().unwrap_or(0));
            replica.phase = Phase::Stopping { birth, port };
            replica.since = now;
        }
        if let Some(handle) = self.handles.get(name) {
            handle.stop.cancel();
        }
    }

    /// The agent goes: every process ends, but not the wish to have it.
    pub fn stop_processes(&mut self) {
        let now = Timestamp::now();
        let names: Vec<String> = self.record.replicas.iter().map(|r| r.name.clone()).collect();
        for name in names {
            self.stop_replica(&name, now);
        }
        self.stop_migration();
        self.route();
    }

    pub fn stop_migration(&self) {
        if let Some(stop) = &self.migration {
            stop.cancel();
        }
    }

    pub fn has_processes(&self) -> bool {
        !self.record.replicas.is_empty() || self.migration.is_some()
    }

    /// The replica's task is over.
    pub fn forget(&mut self, name: &str) {
        self.record.replicas.retain(|r| r.name != name);
        self.handles.remove(name);
    }

    fn route(&self) {
        let mut endpoints: [Vec<Arc<Endpoint>>; 2] = Default::default();
        for replica in self.record.replicas.iter().filter(|r| r.ready.is_some() && !r.stopping()) {
            if let Some(endpoint) = self.handles.get(&replica.name).and_then(|h| h.endpoint.clone()) {
                endpoints[replica.slot as usize].push(endpoint);
            }
        }
        self.proxy.set(self.record.routing.as_ref(), endpoints);
    }

    /// Notes progress, and wakes those who wait when something they can see changed.
    fn notice(&mut self, now: Timestamp) {
        let mut seen = observe::observe(&self.record, now);
        for (slot, after) in &seen.slots {
            let before = self.shown.0.slots.get(slot).cloned().unwrap_or_default();
            if observe::improved(&before, after)
                && let Some(spec) = self.record.slots.get_mut(slot)
            {
                spec.progressed = now;
            }
        }
        seen.time = Timestamp::UNIX_EPOCH;
        let shown = (seen, self.record.lease.as_ref().map(|l| l.version.clone()));
        if shown != self.shown {
            self.shown = shown;
            self.bump();
        }
    }

    /// Opens the service's port if it should be open and is not.
    pub fn reopen(&mut self) {
        let Some(port) = self.record.spec.as_ref().map(|s| s.port) else { return };
        if self.front.as_ref().is_some_and(|f| f.port == port) {
            return;
        }
        match Front::open(&self.proxy, port) {
            Ok(front) => (self.front, self.front_problem) = (Some(front), None),
            Err(e) => self.front_problem = Some(format!("port {port}: {e}")),
        }
    }
}
