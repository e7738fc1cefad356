//! What `msctl local status` shows, read from the records and the proxies' counters.

use jiff::Timestamp;

use super::Agent;
use super::entry::Entry;
use super::observe::problem;
use super::record::{Phase, Replica};
use crate::platform::local::api::{AgentStatus, ProcessStatus, ServiceStatus, SlotStatus};
use crate::rollout::Slot;

impl Agent {
    pub fn status(&self) -> AgentStatus {
        let agent = self.info();
        let services = self.lock().values().map(service).collect();
        AgentStatus { agent, services }
    }
}

fn service(entry: &Entry) -> ServiceStatus {
    let record = &entry.record;
    ServiceStatus {
        service: entry.name.clone(),
        folder: record.spec.as_ref().map(|s| s.folder.clone()),
        port: record.spec.as_ref().map(|s| s.port),
        port_problem: entry.front_problem.clone(),
        routing: record.routing.clone(),
        slots: Slot::ALL.into_iter().filter_map(|slot| Some((slot, slot_status(entry, slot)?))).collect(),
    }
}

fn slot_status(entry: &Entry, slot: Slot) -> Option<SlotStatus> {
    let spec = entry.record.slots.get(&slot)?;
    let ready = entry.record.of_slot(slot).filter(|r| !r.stopping() && r.ready.is_some()).count();
    Some(SlotStatus {
        revision: spec.revision,
        desired: spec.replicas,
        ready: u32::try_from(ready).unwrap_or(u32::MAX),
        weight: entry.record.routing.as_ref().map_or(0, |r| r.weight_of(slot)),
        traffic: entry.proxy.counters(slot).read(),
        processes: entry.record.of_slot(slot).map(process).collect(),
    })
}

fn process(replica: &Replica) -> ProcessStatus {
    let phase = match replica.phase {
        Phase::Waiting if replica.restarts > 0 => "waiting",
        Phase::Waiting => "starting",
        Phase::Running { .. } if replica.ready.is_some() => "ready",
        Phase::Running { .. } => "running",
        Phase::Stopping { .. } => "stopping",
    };
    ProcessStatus {
        name: replica.name.clone(),
        revision: replica.revision,
        pid: replica.birth().map(|b| b.pid),
        port: replica.port(),
        phase: phase.into(),
        restarts: replica.restarts,
        since: replica.since,
        problem: problem(replica, Timestamp::now()).map(|p| p.message),
    }
}
