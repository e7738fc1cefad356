//! What judges a candidate in the simulated world: Jobs, requests of msctl's own, and an experiment's fresh pods.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Behaviour, Kind, World};
use crate::platform::{Answer, Error, JobEnd, JobRun, Result};
use crate::rollout::{Experiment, Fresh, Slot};

/// What whoever judges says of a revision, as often as it is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Opinion {
    #[default]
    Good,
    Bad,
    /// Its Jobs never start.
    Silent,
}

#[derive(Debug)]
struct Job {
    measurement: String,
    epoch: u64,
    revision: u32,
    /// It ends then, or is given up.
    due: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    revisions: (u32, u32),
    ready: [Option<u64>; 2],
    told: [bool; 2],
}

#[derive(Debug, Default)]
pub struct Court {
    pub opinions: BTreeMap<u32, Opinion>,
    /// How long a Job takes at most.
    pub longest: u64,
    jobs: BTreeMap<String, Job>,
    pair: Option<Pair>,
}

impl Court {
    pub fn opinion(&self, revision: u32) -> Opinion {
        self.opinions.get(&revision).copied().unwrap_or_default()
    }

    /// What is left of any judging.
    pub fn left(&self) -> Vec<String> {
        let pair = self.pair.map(|pair| format!("an experiment of {:?}", pair.revisions));
        self.jobs.keys().map(|name| format!("Job {name}")).chain(pair).collect()
    }

    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let ready = self.pair.into_iter().flat_map(|p| p.ready).flatten();
        ready.filter(|at| *at > now).min()
    }
}

impl World {
    /// Makes the Job, or finds it; until when it runs.
    pub(super) fn begin_job(&mut self, run: &JobRun, epoch: u64) -> Result<u64> {
        let found = self.court.jobs.get(&run.name);
        if let Some(job) = found.filter(|job| job.epoch > epoch) {
            return Err(Error::Overtaken { seen: job.epoch, ours: epoch });
        }
        if let Some(job) = found.filter(|job| job.measurement == run.measurement) {
            return Ok(job.due);
        }
        self.fence(super::Object::Service, epoch)?;
        let silent = self.court.opinion(run.revision) == Opinion::Silent;
        let takes = if silent {
            run.start_deadline.as_millis() as u64
        } else {
            let longest = self.court.longest;
            1 + self.dice.below(longest + 1)
        };
        let due = self.now + takes;
        let job = Job { measurement: run.measurement.clone(), epoch, revision: run.revision, due };
        self.note(|_| format!("Job {} for {} until {due}", run.name, run.measurement));
        self.court.jobs.insert(run.name.clone(), job);
        Ok(due)
    }

    /// How the Job ended that was waited for.
    pub(super) fn end_job(&self, run: &JobRun) -> Result<JobEnd> {
        let gone = || Error::NotFound(format!("Job {} was deleted before its end", run.name));
        let job = self.court.jobs.get(&run.name).filter(|job| job.measurement == run.measurement);
        Ok(match self.court.opinion(job.ok_or_else(gone)?.revision) {
            Opinion::Good => JobEnd::Succeeded,
            Opinion::Bad => JobEnd::Failed { message: "it exited with 1".into(), log: Vec::new() },
            Opinion::Silent => JobEnd::NotStarted { message: "its image cannot be pulled".into() },
        })
    }

    pub(super) fn sweep_jobs(&mut self, keep: &[String], epoch: u64) -> Result<()> {
        let keep: BTreeSet<&str> = keep.iter().map(String::as_str).collect();
        let going = self.court.jobs.iter().filter(|(name, _)| !keep.contains(name.as_str()));
        if let Some((_, job)) = going.clone().find(|(_, job)| job.epoch > epoch) {
            return Err(Error::Overtaken { seen: job.epoch, ours: epoch });
        }
        let going: Vec<String> = going.map(|(name, _)| name.clone()).collect();
        for name in going {
            self.note(|_| format!("Job {name} is swept"));
            self.court.jobs.remove(&name);
        }
        Ok(())
    }

    /// What each available pod of the slot answers.
    pub(super) fn answers(&self, slot: Slot) -> Vec<Answer> {
        let cell = self.cell(slot);
        let pods = cell.pods.iter().filter(|p| p.revision == cell.revision && p.available(self.now));
        let bad = self.court.opinion(cell.revision) == Opinion::Bad;
        pods.map(|pod| Answer {
            pod: format!("pod-{}-{}", pod.revision, pod.born),
            container: String::new(),
            started: None::<Timestamp>,
            said: Ok((if bad { 500 } else { 200 }, String::new())),
        })
        .collect()
    }

    pub(super) fn experiment(&mut self, revisions: Option<(u32, u32)>) {
        let ready = |revision: u32| {
            let how = self.behaviours.get(&revision).copied().unwrap_or(Behaviour::Good);
            match how {
                Behaviour::Good | Behaviour::DiesAfter(_) => Some(self.now + self.startup),
                Behaviour::Slow(more) => Some(self.now + self.startup + more),
                Behaviour::Crashes(_) | Behaviour::NeverReady => None,
            }
        };
        self.court.pair = match (self.court.pair, revisions) {
            (Some(pair), Some(wanted)) if pair.revisions == wanted => Some(pair),
            (_, Some((baseline, candidate))) => Some(Pair {
                revisions: (baseline, candidate),
                ready: [ready(baseline), ready(candidate)],
                told: [false; 2],
            }),
            (_, None) => None,
        };
        self.bump(Kind::Deployments);
    }

    /// Fresh pods that have become available.
    pub(super) fn hear_experiment(&mut self) {
        let now = self.now;
        let Some(pair) = &mut self.court.pair else { return };
        let told = pair.ready.map(|at| at.is_some_and(|at| at <= now));
        if std::mem::replace(&mut pair.told, told) != told {
            self.bump(Kind::Deployments);
        }
    }

    pub(super) fn seen_experiment(&self) -> Option<Experiment> {
        let pair = self.court.pair?;
        let fresh = |revision, index: usize| Fresh {
            revision,
            available: pair.ready[index].is_some_and(|at| at <= self.now),
            ..Fresh::default()
        };
        Some(Experiment { baseline: fresh(pair.revisions.0, 0), candidate: fresh(pair.revisions.1, 1) })
    }
}
