//! Holding the Lease: the take-over from a driver that did not leave cleanly, renewal, release.

use std::time::Duration;

use super::{Driver, SETTLE};
use crate::platform::{Error, Lease};
use crate::rollout::state::State;
use crate::rollout::{Event, lock, tell};

/// How often a take-over is tried before the caller hears of it.
const TRIES: u32 = 5;

impl Driver<'_> {
    /// Loads the state; after a driver that died, was overtaken or lost its Lease, raises the epoch everywhere before
    /// anything else. `fresh`: there was no Lease at all, so nobody knows who may still write.
    pub(super) async fn take_over(&mut self, from: Option<String>, fresh: bool) -> anyhow::Result<()> {
        self.unfenced = from.is_some() || fresh;
        self.load().await?;
        // Without a document there is nothing to fence.
        if self.version.is_none() {
            self.unfenced = false;
            return Ok(());
        }
        if !self.unfenced {
            // Deleted by hand while the state was read, the Lease may have had another, whose epoch the state would show.
            self.hold().await?;
            self.unfenced = self.orphaned;
        }
        if !self.unfenced {
            return Ok(());
        }
        for attempt in 1.. {
            match self.raise_held().await {
                Ok(()) => break,
                Err(Error::Conflict(_) | Error::Unreachable(_)) if attempt < TRIES => {
                    self.host.sleep(Duration::from_millis(100 << attempt)).await;
                    self.load().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.unfenced = false;
        let holder = from.unwrap_or_else(|| "nobody".into());
        self.tell(Event::TookOver { holder, epoch: self.state.epoch });
        Ok(())
    }

    /// An abort waits for no expiry: it may take the Lease from who is taking it over. That one must neither raise the epoch
    /// above it, nor go on with an epoch that whoever came after the abort found in the state.
    async fn raise_held(&mut self) -> Result<(), Error> {
        self.hold().await?;
        self.raise().await?;
        self.hold().await
    }

    async fn raise(&mut self) -> Result<(), Error> {
        let seen = self.platform.epoch().await?;
        let mut next: State = self.state.clone();
        next.epoch = self.state.epoch.max(seen) + 1;
        self.version = Some(self.platform.save(&next.body(), self.version.as_deref()).await?);
        self.platform.raise_epoch(next.epoch).await?;
        self.state = next;
        Ok(())
    }

    /// Renews the Lease when a third of it has passed on either clock.
    pub(super) async fn keep_lease(&mut self) -> Result<(), Error> {
        let (monotonic, wall) = (self.host.elapsed(), self.host.wall());
        let due = monotonic.saturating_sub(self.renewed.0) >= lock::RENEW
            || wall - self.renewed.1 >= lock::RENEW.as_secs_f64();
        if due { self.hold().await } else { Ok(()) }
    }

    /// Renews the Lease; fails where somebody else has it.
    async fn hold(&mut self) -> Result<(), Error> {
        let Some(lease) = self.lease.clone() else { return Ok(()) };
        let now = (self.host.elapsed(), self.host.wall());
        let renewed = match self.platform.renew_lease(&lease, false).await {
            Ok(lease) => lease,
            Err(Error::Conflict(_) | Error::NotFound(_)) => self.regain().await?,
            Err(error) => return Err(error),
        };
        self.lease = Some(renewed);
        self.renewed = now;
        Ok(())
    }

    /// Keeps the Lease while something else runs; returns only when it is lost.
    pub async fn keep(&mut self) -> anyhow::Error {
        loop {
            self.host.sleep(lock::RENEW).await;
            match self.keep_lease().await {
                Ok(()) | Err(Error::Unreachable(_)) => {}
                Err(error) => return tell::failure(self, error),
            }
        }
    }

    /// A renewal that failed may have been ours, answered too late; or the Lease was deleted by hand.
    pub(super) async fn regain(&mut self) -> Result<Lease, Error> {
        let seen = self.platform.lease().await?;
        match &seen {
            Some(lease) if lease.holder == self.host.holder() => Ok(lease.clone()),
            Some(lease) if !lease.holder.is_empty() => {
                let holder = lease.holder.clone();
                self.lease = None;
                Err(Error::Other(lock::held_by(self.service, &holder)))
            }
            // Nobody has it: nobody else may have written since, and the epoch would tell.
            _ => {
                self.orphaned |= seen.is_none();
                self.platform.take_lease(&self.host.holder(), seen.as_ref()).await
            }
        }
    }

    /// Gives the Lease up; a failure to do so costs the next driver its expiry, nothing else.
    pub async fn release(&mut self) {
        self.gatherer.leave(self.host).await;
        if self.lease.is_some() && self.lost.is_none() {
            self.keeper.settle(self.host, SETTLE).await;
        }
        let Some(mut lease) = self.lease.take().filter(|_| !self.unfenced) else { return };
        for _ in 0..3 {
            match self.platform.renew_lease(&lease, true).await {
                // A renewal whose answer was lost moved it on: it is still ours to give up.
                Err(Error::Conflict(_)) => match self.platform.lease().await {
                    Ok(Some(seen)) if seen.holder == self.host.holder() => lease = seen,
                    _ => return,
                },
                _ => return,
            }
        }
    }

    /// Takes the Lease again after a release, if the state is still ours; false when someone else acted.
    pub async fn resume(&mut self) -> bool {
        let Some(lease) = self.retaken().await else { return false };
        self.lease = Some(lease);
        self.renewed = (self.host.elapsed(), self.host.wall());
        let version = self.version.clone();
        if self.reload().await.is_ok() && self.version == version {
            return true;
        }
        self.release().await;
        false
    }

    /// The Lease, if nobody has it; a request that failed is made again, and one whose answer was lost is looked up.
    async fn retaken(&mut self) -> Option<Lease> {
        let holder = self.host.holder();
        for _ in 0..5 {
            match self.platform.lease().await {
                Ok(Some(seen)) if seen.holder == holder => return Some(seen),
                Ok(Some(seen)) if seen.holder.is_empty() => {
                    if let Ok(lease) = self.platform.take_lease(&holder, Some(&seen)).await {
                        return Some(lease);
                    }
                }
                // Whoever holds it acts, or died acting: that is for a take-over, which raises the epoch.
                Ok(_) => return None,
                Err(_) => {}
            }
            self.host.sleep(Duration::from_millis(500)).await;
        }
        None
    }
}
