//! Runs the migration that the engine wants, beside the driver's loop. What it loses with the driver is found again by
//! its name.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::platform::{Error, JobEnd, MigrationRun, Platform};
use crate::rollout::host::Host;

/// Between two looks at a place that does not answer.
const REST: Duration = Duration::from_secs(2);

type Ended = (MigrationRun, Result<JobEnd, String>);

#[derive(Default)]
pub struct Migrator<'a> {
    running: Option<(MigrationRun, BoxFuture<'a, Result<JobEnd, String>>)>,
    done: Option<Ended>,
}

impl<'a> Migrator<'a> {
    /// Has `wanted` run as the driver of `epoch`; of what is wanted no longer nothing more is heard.
    pub fn want(
        &mut self,
        host: &'a dyn Host,
        platform: &'a dyn Platform,
        wanted: Option<MigrationRun>,
        epoch: u64,
    ) {
        let Some(wanted) = wanted else { return self.running = None };
        let known = self.running.as_ref().map(|(run, _)| run).or(self.done.as_ref().map(|(run, _)| run));
        if known == Some(&wanted) {
            return;
        }
        let run = wanted.clone();
        let work = Box::pin(async move {
            loop {
                match platform.migrate(&run, epoch).await {
                    // It goes on where it runs; and who is overtaken hears of that from the Lease.
                    Err(Error::Unreachable(_) | Error::Conflict(_) | Error::Overtaken { .. }) => {
                        host.sleep(REST).await
                    }
                    ended => return ended.map_err(|e| e.to_string()),
                }
            }
        });
        self.running = Some((wanted, work));
    }

    pub fn running(&self) -> bool {
        self.running.is_some() || self.done.is_some()
    }

    /// Returns when one has ended; never while none runs.
    pub async fn finished(&mut self) {
        let Some((run, work)) = &mut self.running else { return std::future::pending().await };
        self.done = Some((run.clone(), work.await));
        self.running = None;
    }

    /// How one ended; it stays until it was taken in.
    pub fn ended(&self) -> Option<Ended> {
        self.done.clone()
    }

    pub fn taken(&mut self) {
        self.done = None;
    }
}
