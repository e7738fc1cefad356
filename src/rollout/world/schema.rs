//! The database of the simulated world: which schema it has, what migrates it, and who would not find theirs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Object, Slot, World};
use crate::platform::{Error, JobEnd, MigrationRun, Result};
use crate::rollout::MigrationPhase;

type Key = (u32, MigrationPhase);

#[derive(Debug, Clone, Copy)]
struct Running {
    attempt: u32,
    due: u64,
    fails: bool,
    ended: bool,
}

#[derive(Debug, Default)]
pub struct Schema {
    /// Revisions have migrations, which take so long at most.
    pub longest: Option<u64>,
    /// Of a thousand attempts so many fail.
    pub fails_per_mille: u64,
    runs: BTreeMap<Key, Running>,
    expanded: BTreeSet<u32>,
    /// The highest revision whose contract has begun.
    pub contracted: u32,
    /// Somebody said to roll out what a contract broke.
    pub careless: bool,
}

impl World {
    /// Begins the attempt, or finds it; None while another migration runs. Until when it runs.
    pub(super) fn begin_migration(&mut self, run: &MigrationRun, epoch: u64) -> Result<Option<u64>> {
        let (key, now) = ((run.revision, run.phase), self.now);
        if let Some(known) = self.schema.runs.get(&key).filter(|r| r.attempt == run.attempt) {
            return Ok(Some(known.due));
        }
        if self.schema.runs.values().any(|r| r.due > now) {
            return Ok(None);
        }
        if let Some(known) = self.schema.runs.get(&key).filter(|r| r.attempt > run.attempt) {
            self.breaks(format!(
                "{} of {} is asked for by attempt {}",
                run.phase.name(),
                run.revision,
                known.attempt
            ));
        }
        self.fence(Object::Service, epoch)?;
        let longest = self.schema.longest.unwrap_or(0);
        let (takes, fails) = (1 + self.dice.below(longest + 1), self.schema.fails_per_mille);
        let fails = self.dice.chance(fails);
        let due = now + takes;
        self.note(|_| {
            format!("{} of revision {}, attempt {}, until {due}", run.phase.name(), run.revision, run.attempt)
        });
        self.schema.runs.insert(key, Running { attempt: run.attempt, due, fails, ended: false });
        self.timers.push(due);
        if run.phase == MigrationPhase::Contract {
            self.schema.contracted = self.schema.contracted.max(run.revision);
        }
        self.check_schema();
        Ok(Some(due))
    }

    pub(super) fn end_migration(&self, run: &MigrationRun) -> Result<JobEnd> {
        let known = self.schema.runs.get(&(run.revision, run.phase)).filter(|r| r.attempt == run.attempt);
        match known {
            None => Err(Error::NotFound(format!("attempt {} was taken away", run.attempt))),
            Some(run) if run.fails => {
                Ok(JobEnd::Failed { message: "it exited with 1".into(), log: Vec::new() })
            }
            Some(_) => Ok(JobEnd::Succeeded),
        }
    }

    /// Migrations that ended by now; and no pod of a revision is there whose schema is not.
    pub(super) fn check_schema(&mut self) {
        if self.schema.longest.is_none() {
            return;
        }
        let now = self.now;
        for ((revision, phase), run) in &mut self.schema.runs {
            run.ended |= run.due <= now;
            if run.ended && !run.fails && *phase == MigrationPhase::Expand {
                self.schema.expanded.insert(*revision);
            }
        }
        for slot in Slot::ALL {
            let cell = self.cell(slot);
            let revisions: BTreeSet<u32> = cell.pods.iter().map(|p| p.revision).collect();
            for revision in revisions {
                if !self.schema.expanded.contains(&revision) {
                    self.breaks(format!("{slot} has pods of revision {revision}, whose expand was not run"));
                }
                if revision < self.schema.contracted && !self.schema.careless {
                    self.breaks(format!(
                        "{slot} has pods of revision {revision}, and the contract of {} was begun",
                        self.schema.contracted
                    ));
                }
            }
        }
    }
}
