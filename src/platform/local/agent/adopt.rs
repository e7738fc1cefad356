//! A new agent takes over what the last one left: its records, its living processes, and the end of strays.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use rustix::process::Signal;

use super::Agent;
use super::entry::Entry;
use super::record::{Exit, Phase, Record};
use crate::platform::local::process;

/// Loads every record and runs its processes on. Serving begins before anything is started anew.
pub fn adopt(agent: &Arc<Agent>) -> anyhow::Result<()> {
    let folder = agent.places.services();
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("read {}", folder.display()))?,
    };
    for path in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json")) {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut record: Record = match serde_json::from_str(&text) {
            Ok(record) => record,
            Err(e) => {
                agent.say(format!("{} is damaged and left alone: {e}", path.display()));
                continue;
            }
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        revise(&mut record, Timestamp::now());
        let mut entry = Entry::new(&name, record);
        let replicas: Vec<String> = entry.record.replicas.iter().map(|r| r.name.clone()).collect();
        let mut services = agent.lock();
        for replica in &replicas {
            entry.run_replica(agent, replica);
        }
        entry.reopen();
        entry.settle(agent);
        agent.say(format!("{name}: taken over with {} processes", replicas.len()));
        services.insert(name, entry);
    }
    let sweeping = agent.clone();
    tokio::spawn(async move { sweep(&sweeping).await });
    Ok(())
}

/// Replicas whose process ended while nobody watched are to be started again.
fn revise(record: &mut Record, now: Timestamp) {
    record.replicas.retain(|r| !r.stopping() || r.birth().is_some_and(|b| b.alive()));
    for replica in &mut record.replicas {
        if matches!(replica.phase, Phase::Running { birth, .. } if !birth.alive()) {
            replica.phase = Phase::Waiting;
            (replica.since, replica.ready) = (now, None);
            replica.restarts += 1;
            replica.exit = Some(Exit {
                reason: "crash".into(),
                message: "it ended while no agent was running".into(),
                log: Vec::new(),
            });
        }
    }
}

/// Ends processes that carry this agent's mark but are in no record: started just before an agent was
/// killed, or run away from their group.
pub async fn sweep(agent: &Arc<Agent>) {
    for signal in [Signal::TERM, Signal::KILL] {
        let mut strays = Vec::new();
        for _ in 0..20 {
            strays = strays_of(agent);
            if strays.is_empty() {
                return;
            }
            if signal == Signal::KILL {
                break;
            }
            for group in &strays {
                process::signal_group(*group, signal);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for group in strays {
            process::signal_group(group, signal);
        }
    }
}

/// The records are read after the processes: a process started in between is known by then, or not yet seen.
fn strays_of(agent: &Arc<Agent>) -> Vec<u32> {
    let marked = process::marked_groups(&agent.places.state);
    let services = agent.lock();
    let births = |record: &Record| {
        let replicas = record.replicas.iter().filter_map(|r| r.birth());
        let migration = record.migration.iter().filter(|m| m.end.is_none()).filter_map(|m| m.birth);
        replicas.chain(migration).collect::<Vec<_>>()
    };
    let ending = agent.ending();
    let known: Vec<u32> =
        services.values().filter(|_| !ending).flat_map(|e| births(&e.record)).map(|b| b.pid).collect();
    let me = std::process::id();
    marked.into_iter().filter(|group| !known.contains(group) && *group != me).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::local::agent::record::Replica;
    use crate::platform::local::process::Birth;
    use crate::rollout::Slot;

    #[test]
    fn the_living_stay_and_the_dead_start_again() {
        let replica = |name: &str, phase: Phase| Replica {
            name: name.into(),
            slot: Slot::Blue,
            revision: 1,
            generation: 0,
            phase,
            since: Timestamp::UNIX_EPOCH,
            ready: Some(Timestamp::UNIX_EPOCH),
            restarts: 0,
            streak: 0,
            exit: None,
            probe: None,
        };
        let (me, dead) = (Birth::me(), Birth { pid: 1, start: u64::MAX });
        let replicas = vec![
            replica("lives", Phase::Running { birth: me, port: 1 }),
            replica("died", Phase::Running { birth: dead, port: 2 }),
            replica("gone", Phase::Stopping { birth: Some(dead), port: 3 }),
        ];
        let mut record = Record { replicas, ..Record::default() };
        revise(&mut record, Timestamp::UNIX_EPOCH);
        let names: Vec<_> =
            record.replicas.iter().map(|r| (r.name.as_str(), r.phase == Phase::Waiting)).collect();
        assert_eq!(names, [("lives", false), ("died", true)]);
        assert!(record.replicas[0].ready.is_some() && record.replicas[1].ready.is_none());
    }
}
