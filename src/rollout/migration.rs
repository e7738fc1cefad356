//! Migrations of a service's database around a deploy: `expand` before the first pod of a revision, `contract` when no
//! revision that could come back needs the old schema any more. Pure.

use serde::{Deserialize, Serialize};

use super::state::{Cause, Revision, Rollout, Stage, State};
use super::step::Turn;
use super::{Event, Refusal, SlotObservation};
use crate::platform::{JobEnd, MigrationRun};
use crate::service::Migrations;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationPhase {
    Expand,
    Contract,
}

impl MigrationPhase {
    pub fn name(self) -> &'static str {
        match self {
            MigrationPhase::Expand => "expand",
            MigrationPhase::Contract => "contract",
        }
    }
}

/// A command of one revision's image, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Seconds.
    pub timeout: u64,
    /// How often it was begun.
    #[serde(default)]
    pub attempt: u32,
    /// How the last attempt ended; None after one that was begun: it runs, or nobody knows yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<MigrationEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationEnd {
    Done,
    /// In the deploy of this number.
    Failed(u32),
}

impl Migration {
    fn of(command: &[String], timeout: u64) -> Option<Migration> {
        (!command.is_empty()).then(|| Migration { command: command.to_vec(), timeout, attempt: 0, end: None })
    }
    pub fn done(&self) -> bool {
        self.end == Some(MigrationEnd::Done)
    }
    /// It was begun, and no end of it is known.
    pub fn running(&self) -> bool {
        self.attempt > 0 && self.end.is_none()
    }
    /// What must be known of it when its revision comes back: what was done stays done, and no attempt has the number of one
    /// before.
    pub fn pruned(self) -> Option<Migration> {
        let end = if self.done() { MigrationEnd::Done } else { MigrationEnd::Failed(0) };
        (self.attempt > 0).then_some(Migration { command: Vec::new(), end: Some(end), ..self })
    }
    pub fn label(&self) -> String {
        self.command.join(" ")
    }
}

impl Revision {
    pub fn migration(&self, phase: MigrationPhase) -> Option<&Migration> {
        match phase {
            MigrationPhase::Expand => self.expand.as_ref(),
            MigrationPhase::Contract => self.contract.as_ref(),
        }
    }

    /// Takes the commands that msctl.yaml has now, but for what was begun and did not fail.
    fn migrates(&mut self, wanted: Option<&Migrations>, expand: bool) {
        let timeout = wanted.map_or(0, |w| w.timeout.0.as_secs());
        let renew = |present: &mut Option<Migration>, command: &[String]| {
            let tried = present.as_ref().filter(|m| m.attempt > 0);
            match tried.map(|m| (m.attempt, m.end)) {
                Some((attempt, Some(MigrationEnd::Failed(deploy)))) => {
                    let end = Some(MigrationEnd::Failed(deploy));
                    *present =
                        Migration::of(command, timeout).map(|fresh| Migration { attempt, end, ..fresh });
                }
                Some(_) => {}
                None => *present = Migration::of(command, timeout),
            }
        };
        if expand {
            renew(&mut self.expand, wanted.map_or(&[], |w| &w.expand));
        }
        renew(&mut self.contract, wanted.map_or(&[], |w| &w.contract));
    }
}

impl State {
    /// `revision` is to be rolled out with these migrations.
    pub fn migrates(&mut self, revision: u32, wanted: Option<&Migrations>) {
        // What serves, or served, was brought about without this expand.
        let fresh = self.live.is_none_or(|l| l.revision != revision) && !self.lives().contains(&revision);
        if let Some(this) = self.revisions.iter_mut().find(|r| r.number == revision) {
            this.migrates(wanted, fresh);
        }
    }

    pub fn migration(&self, revision: u32, phase: MigrationPhase) -> Option<&Migration> {
        self.revision(revision)?.migration(phase)
    }

    fn migration_mut(&mut self, revision: u32, phase: MigrationPhase) -> Option<&mut Migration> {
        let this = self.revisions.iter_mut().find(|r| r.number == revision)?;
        match phase {
            MigrationPhase::Expand => this.expand.as_mut(),
            MigrationPhase::Contract => this.contract.as_mut(),
        }
    }

    /// A contract took away what `revision` needs.
    pub fn outdated(&self, revision: u32) -> bool {
        revision < self.contracted
    }

    /// The revision whose contract was asked for, or is due: it was live, a later one is, and none before it is in a slot
    /// or within `window`, nor the one that an undo would go to.
    pub fn contract_due(&self, window: u32) -> Option<u32> {
        let live = self.live?.revision;
        let (lives, deploy) = (self.lives(), self.deploys.last().map_or(0, |d| d.number));
        let asked = self.contracting;
        let placed = [self.live.map(|p| p.revision), self.candidate.map(|p| p.revision)];
        let placed = placed.into_iter().chain([self.previous.map(|p| p.revision)]).flatten();
        let placed: Vec<u32> = placed.collect();
        let needed = |old: u32| placed.contains(&old) || (!asked && self.recent(old, window.max(1)));
        let due = |this: &&Revision| {
            let open = this.contract.as_ref().is_some_and(|m| match m.end {
                None => true,
                Some(MigrationEnd::Done) => false,
                // Once a deploy; a person may try as often as they like.
                Some(MigrationEnd::Failed(at)) => asked || at != deploy,
            });
            let closed = if asked { this.number <= live } else { this.number < live };
            open && closed
                && lives.contains(&this.number)
                && !self.revisions.iter().any(|old| old.number < this.number && needed(old.number))
        };
        self.revisions.iter().filter(due).map(|r| r.number).min()
    }

    /// `revision`'s contract is done.
    pub fn contracted_by(&mut self, revision: u32) {
        if let Some(migration) = self.migration_mut(revision, MigrationPhase::Contract) {
            migration.end = Some(MigrationEnd::Done);
        }
        self.contracted = self.contracted.max(revision);
    }

    /// A person wants what only revisions before the live one need taken away now.
    pub fn contract(&mut self, wanted: Option<&Migrations>) -> Result<Vec<u32>, Refusal> {
        let refuse = |reason, message: String| Err(Refusal { reason, message });
        if let Some(rollout) = self.under_way() {
            let text =
                format!("revision {} is being rolled out; contract when that has ended", rollout.revision);
            return refuse("under-way", text);
        }
        let Some(live) = self.live.map(|l| l.revision) else {
            return refuse("not-deployed", "nothing is deployed whose schema could be contracted".into());
        };
        if self.rollout.as_ref().is_none_or(|r| r.stage != Stage::Healthy) {
            let text = "the last deploy was not healthy; contract after one that is";
            return refuse("not-healthy", text.into());
        }
        // Of the live version, and where a command failed, msctl.yaml has the last word.
        let failed = |r: &&Revision| {
            r.contract.as_ref().is_some_and(|m| matches!(m.end, Some(MigrationEnd::Failed(_))))
        };
        let renewed: Vec<u32> =
            self.revisions.iter().filter(failed).map(|r| r.number).chain([live]).collect();
        if wanted.is_some_and(|w| !w.contract.is_empty()) {
            renewed.into_iter().for_each(|revision| self.migrates(revision, wanted));
        }
        let open: Vec<u32> = self.uncontracted().into_iter().filter(|r| *r <= live).collect();
        if open.is_empty() {
            return refuse("nothing-to-contract", format!("revision {live} leaves no contract to be run"));
        }
        self.contracting = true;
        match self.contract_due(0) {
            Some(_) => Ok(open),
            None => refuse(
                "still-needed",
                "pods of a revision before are kept; contract when their scaleDownDelay is over".into(),
            ),
        }
    }

    /// Revisions whose contract is still to come.
    pub fn uncontracted(&self) -> Vec<u32> {
        let lives = self.lives();
        let open = |r: &&Revision| {
            r.contract.as_ref().is_some_and(|m| !m.done()) && lives.contains(&r.number) && !r.pruned
        };
        self.revisions.iter().filter(open).map(|r| r.number).collect()
    }
}

impl Turn<'_> {
    /// Takes in how a migration ended.
    pub(super) fn take_migrated(&mut self) {
        let Some((run, end)) = self.state.memo.migrated.take() else { return };
        let (revision, phase, now) = (run.revision, run.phase, self.now);
        let deploy = self.state.deploys.last().map_or(0, |d| d.number);
        let ours = |m: &&mut Migration| m.attempt == run.attempt && m.end.is_none();
        let Some(migration) = self.state.migration_mut(revision, phase).filter(ours) else { return };
        let command = migration.label();
        let (message, log) = match end {
            Ok(JobEnd::Succeeded) => {
                match phase {
                    MigrationPhase::Expand => migration.end = Some(MigrationEnd::Done),
                    MigrationPhase::Contract => self.state.contracted_by(revision),
                }
                // The time it took is no time in which pods could have come.
                self.rollout(|r| r.clock = now);
                self.events.push(Event::Migrated { revision, phase });
                return;
            }
            Ok(JobEnd::Failed { message, log }) => (message, log),
            Ok(JobEnd::NotStarted { message }) | Err(message) => (message, Vec::new()),
        };
        migration.end = Some(MigrationEnd::Failed(deploy));
        self.state.contracting = false;
        let message = format!("migration {}: {message} ({command})", phase.name());
        let cause = Cause::told("migration-failed", &message, &log, now);
        let waits = |r: &Rollout| r.revision == revision && matches!(r.stage, Stage::Place | Stage::InPlace);
        match self.state.rollout.clone().filter(|r| phase == MigrationPhase::Expand && waits(r)) {
            Some(rollout) => drop(self.refuse(&rollout, cause)),
            None => self.events.push(Event::MigrationFailed { revision, phase, cause }),
        }
    }

    /// The schema has what the rollout's revision needs; asks for it where not.
    pub(super) fn expanded(&mut self, rollout: &Rollout) -> bool {
        let Some(expand) = self.state.migration(rollout.revision, MigrationPhase::Expand) else {
            return true;
        };
        if !expand.done() && (rollout.held.is_none() || expand.running()) {
            self.migrate(rollout, rollout.revision, MigrationPhase::Expand);
            return false;
        }
        expand.done()
    }

    /// Whether a contract is due, which is then asked for.
    pub(super) fn contracts(&mut self, rollout: &Rollout) -> bool {
        let Some(revision) = self.state.contract_due(rollout.plan.window) else {
            self.state.contracting = false;
            return false;
        };
        // Pods on their way out answer their last requests; where they were replaced, they may be of any revision before.
        let asked = self.state.contracting;
        let needs =
            |s: &SlotObservation| (s.revision < revision && !s.empty()) || (asked && s.terminating > 0);
        if !self.seen.slots.values().any(needs) {
            self.migrate(rollout, revision, MigrationPhase::Contract);
        }
        true
    }

    fn migrate(&mut self, rollout: &Rollout, revision: u32, phase: MigrationPhase) {
        let mut contracted = self.state.contracted;
        let Some(migration) = self.state.migration_mut(revision, phase) else { return };
        let begins = !migration.running();
        if begins {
            migration.attempt += 1;
            migration.end = None;
            if phase == MigrationPhase::Contract {
                // What it took away before it failed, nobody knows.
                contracted = contracted.max(revision);
            }
        }
        let run = MigrationRun {
            revision,
            phase,
            command: migration.command.clone(),
            attempt: migration.attempt,
            start_deadline: std::time::Duration::from_secs(rollout.plan.deadline),
            timeout: std::time::Duration::from_secs(migration.timeout),
        };
        if begins {
            let command = migration.label();
            self.events.push(Event::Migrating { revision, phase, command });
        }
        self.state.contracted = contracted;
        self.migration = Some(run);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::rollout::state::{Deploy, DeployResult};
    use crate::rollout::{Placed, Previous, Slot};

    fn migrations(command: &str) -> Migrations {
        let command = vec![command.to_owned()];
        let timeout = crate::service::Duration::secs(60);
        Migrations { expand: command.clone(), contract: command, timeout }
    }

    /// A service that these revisions served, one after the other, each with its migrations.
    fn lived(revisions: &[u32]) -> State {
        let mut state = State::default();
        for number in 1..=revisions.iter().copied().max().unwrap_or(0) {
            state.number(&number.to_string(), "image", Timestamp::UNIX_EPOCH);
            state.migrates(number, Some(&migrations("m")));
        }
        for (at, revision) in revisions.iter().enumerate() {
            let deploy = Deploy {
                number: at as u32 + 1,
                revision: *revision,
                from: None,
                strategy: crate::service::Strategy::Canary,
                in_place: false,
                undo: false,
                at: Timestamp::UNIX_EPOCH,
                ended: None,
                result: DeployResult::Healthy,
                reason: None,
                by: "someone".into(),
            };
            state.deploys.push(deploy);
            state.live = Some(Placed { slot: Slot::Blue, revision: *revision });
        }
        state
    }

    #[test]
    fn a_contract_waits_until_nobody_could_go_back_before_it() {
        // Revisions in the order they were live, the window, and whose contract is due.
        let rows: [(&[u32], u32, Option<u32>); 11] = [
            (&[1], 2, None),
            // The first has none before it: the deploy after closes it.
            (&[1, 2], 2, Some(1)),
            (&[2], 2, None),
            (&[1, 2, 3], 1, Some(1)),
            (&[2, 3], 9, Some(2)),
            (&[1, 2, 1], 2, None),
            (&[1, 3], 2, Some(1)),
            (&[1, 2, 3, 4], 0, Some(1)),
            (&[1, 2, 3, 4], 9, Some(1)),
            (&[2, 1, 3], 2, Some(1)),
            (&[], 2, None),
        ];
        for (lives, window, due) in rows {
            let state = lived(lives);
            assert_eq!(state.contract_due(window), due, "{lives:?}, window {window}");
        }
        // With the first one's done: the second's contract breaks the first, to which an undo may go.
        let rows: [(&[u32], u32, Option<u32>); 6] = [
            (&[1, 2], 2, None),
            (&[1, 2, 3], 0, Some(2)),
            (&[1, 2, 3], 1, Some(2)),
            (&[1, 2, 3], 2, None),
            (&[1, 2, 3, 4], 2, Some(2)),
            (&[1, 2, 1, 3], 0, None),
        ];
        for (lives, window, due) in rows {
            let mut state = lived(lives);
            state.contracted_by(1);
            assert_eq!(state.contract_due(window), due, "{lives:?}, window {window}, 1 done");
        }
    }

    #[test]
    fn a_person_may_contract_sooner_but_never_under_pods_of_an_older_revision() {
        let mut state = lived(&[1, 2]);
        state.contracted_by(1);
        state.contracting = true;
        assert_eq!(state.contract_due(9), Some(2));
        state.previous = Some(Previous { slot: Slot::Green, revision: 1, until: Timestamp::UNIX_EPOCH });
        assert_eq!(state.contract_due(9), None);
        state.previous = None;
        state.contracted_by(2);
        assert_eq!(state.contract_due(9), None);
        assert_eq!((state.outdated(1), state.outdated(2), state.undo_target()), (true, false, None));
    }

    #[test]
    fn what_failed_is_tried_once_a_deploy_and_takes_the_command_of_now() {
        let mut state = lived(&[1, 2]);
        let contract = state.migration_mut(1, MigrationPhase::Contract).unwrap();
        (contract.attempt, contract.end) = (1, Some(MigrationEnd::Failed(2)));
        assert_eq!(state.contract_due(2), None, "it failed in this deploy");
        state.contracting = true;
        assert_eq!(state.contract_due(2), Some(1), "a person tries again");
        state.contracting = false;
        state.migrates(1, Some(&migrations("mended")));
        let contract = state.migration(1, MigrationPhase::Contract).unwrap();
        assert_eq!((contract.label().as_str(), contract.attempt), ("mended", 1));
        assert_eq!(state.migration(1, MigrationPhase::Expand).unwrap().label(), "m", "it served long ago");
        state.deploys.push(Deploy { number: 3, ..state.deploys[1].clone() });
        assert_eq!(state.contract_due(2), Some(1), "the next deploy tries again");
    }

    #[test]
    fn what_is_kept_for_a_contract_outlasts_the_history() {
        let state = lived(&[1, 2, 3, 4]);
        assert_eq!(state.needed(1), [1, 2, 3, 4]);
        let mut state = state;
        (1..=2).for_each(|n| state.contracted_by(n));
        assert_eq!(state.needed(1), [3, 4]);
    }
}
