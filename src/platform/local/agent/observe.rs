//! What the agent tells a rollout about a service, worked out from its record. Pure.

use jiff::Timestamp;

use super::record::{Exit, Phase, Record, Replica, SlotSpec};
use crate::rollout::{Observation, Problem, RouteObservation, Slot, SlotObservation};

/// A process that was not ready for so long after its start is worth a word.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

pub fn observe(record: &Record, now: Timestamp) -> Observation {
    Observation {
        time: now,
        slots: record
            .slots
            .iter()
            .map(|(slot, spec)| (*slot, observe_slot(record, *slot, spec, now)))
            .collect(),
        selection: record.selection,
        selected_by: None,
        route: record.routing.clone().map(|routing| RouteObservation {
            routing,
            accepted: true,
            refusal: None,
            since: record.routed,
            by: None,
        }),
        state_version: record.state.as_ref().map(|s| s.version.clone()),
        terminating: record.deleting,
        experiment: None,
    }
}

fn observe_slot(record: &Record, slot: Slot, spec: &SlotSpec, now: Timestamp) -> SlotObservation {
    let min_ready = record.min_ready();
    let count = |pass: &dyn Fn(&Replica) -> bool| {
        u32::try_from(record.of_slot(slot).filter(|r| pass(r)).count()).unwrap_or(u32::MAX)
    };
    let present = |r: &Replica| !r.stopping() && r.revision == spec.revision;
    SlotObservation {
        revision: spec.revision,
        desired: spec.replicas,
        // The supervisor decides under the same lock that changes the wish.
        lagging: false,
        current: true,
        replicas: count(&|r| !r.stopping()),
        updated: count(&present),
        ready: count(&|r| !r.stopping() && r.ready.is_some()),
        available: count(&|r| r.available(min_ready, now)),
        updated_available: count(&|r| present(r) && r.available(min_ready, now)),
        // The proxy is told under the same lock.
        led_to: count(&|r| present(r) && r.available(min_ready, now)),
        terminating: count(&Replica::stopping),
        in_public: if record.selection.is_some_and(|s| s.includes(slot)) {
            count(&|r| !r.stopping())
        } else {
            0
        },
        progressed: Some(spec.progressed),
        problems: record.of_slot(slot).filter(|r| present(r)).filter_map(|r| problem(r, now)).collect(),
        restarts: record.of_slot(slot).filter(|r| present(r)).map(|r| r.restarts).sum(),
        // Whoever ends is started again, and that is counted.
        lost: Vec::new(),
        scaler: None,
    }
}

/// Why a replica does not serve. The first crash may be bad luck; the second is a loop.
pub fn problem(replica: &Replica, now: Timestamp) -> Option<Problem> {
    if replica.ready.is_some() || replica.stopping() {
        return None;
    }
    if let Some(Exit { reason, message, log }) = &replica.exit {
        return Some(Problem {
            reason: reason.clone(),
            pod: replica.name.clone(),
            message: match replica.streak {
                0 | 1 => message.clone(),
                n => format!("{message}, {n} times"),
            },
            terminal: replica.streak >= 2 || reason == "start-failed",
            log: log.clone(),
        });
    }
    let waited = now.duration_since(replica.since).unsigned_abs();
    let (message, _) = replica.probe.as_ref().filter(|_| waited >= PATIENCE)?;
    matches!(replica.phase, Phase::Running { .. }).then(|| Problem {
        reason: "probe-failing".into(),
        pod: replica.name.clone(),
        message: format!("not ready: {message}"),
        terminal: false,
        log: Vec::new(),
    })
}

/// Whether `now` shows more than `before` did of what a slot is waited for.
pub fn improved(before: &SlotObservation, now: &SlotObservation) -> bool {
    let counts = |o: &SlotObservation| [o.updated, o.ready, o.available, o.updated_available];
    before.revision != now.revision || counts(before).iter().zip(counts(now)).any(|(b, n)| n > *b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::local::process::Birth;
    use crate::rollout::Selection;

    fn replica(name: &str, revision: u32, phase: Phase, ready: bool) -> Replica {
        Replica {
            name: name.into(),
            slot: Slot::Blue,
            revision,
            generation: 0,
            phase,
            since: Timestamp::UNIX_EPOCH,
            ready: ready.then_some(Timestamp::UNIX_EPOCH),
            restarts: 0,
            streak: 0,
            exit: None,
            probe: None,
        }
    }

    fn running() -> Phase {
        Phase::Running { birth: Birth { pid: 1, start: 1 }, port: 1 }
    }

    #[test]
    fn counts_tell_templates_and_stopping_apart() {
        let mut record = Record { selection: Some(Selection::Blue), ..Record::default() };
        let spec = SlotSpec { revision: 2, replicas: 3, generation: 0, progressed: Timestamp::UNIX_EPOCH };
        record.slots.insert(Slot::Blue, spec);
        record.replicas = vec![
            replica("old", 1, running(), true),
            replica("new", 2, running(), true),
            replica("coming", 2, Phase::Waiting, false),
            replica("going", 1, Phase::Stopping { birth: None, port: 1 }, true),
        ];
        let seen = observe(&record, Timestamp::UNIX_EPOCH).slots[&Slot::Blue].clone();
        assert_eq!((seen.replicas, seen.updated, seen.ready), (3, 2, 2));
        assert_eq!((seen.available, seen.updated_available, seen.terminating), (2, 1, 1));
        assert_eq!(seen.in_public, 3);
        assert!(!seen.complete(3));
    }

    #[test]
    fn the_second_exit_is_a_loop() {
        let mut crashed = replica("r", 1, Phase::Waiting, false);
        crashed.exit =
            Some(Exit { reason: "crash".into(), message: "exit code 3".into(), log: vec!["boom".into()] });
        for (streak, terminal) in [(1, false), (2, true), (5, true)] {
            crashed.streak = streak;
            let problem = problem(&crashed, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!((problem.terminal, problem.log.as_slice()), (terminal, &["boom".to_owned()][..]));
            assert!(problem.message.contains("exit code 3"));
        }
        crashed.ready = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(problem(&crashed, Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn a_silent_probe_is_a_problem_after_a_while() {
        let mut slow = replica("r", 1, running(), false);
        slow.probe = Some(("GET /health/ready answered 503".into(), 3));
        assert_eq!(problem(&slow, Timestamp::UNIX_EPOCH), None);
        let later = Timestamp::from_second(6).unwrap();
        assert_eq!(problem(&slow, later).unwrap().reason, "probe-failing");
    }
}
