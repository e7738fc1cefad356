//! Who may drive: the Lease, taken by compare-and-swap, its expiry judged by the contender's own clock.

use std::time::Duration;

use super::Event;
use super::host::Host;
use crate::error::{Failure, Kind};
use crate::platform::{Error, Lease, Platform};

/// A Lease that stays unchanged so long has no holder any more.
pub const EXPIRY: Duration = Duration::from_secs(15);
pub const RENEW: Duration = Duration::from_secs(5);

/// The lease, and whose it was: None after a clean release.
pub struct Held {
    pub lease: Lease,
    pub taken_from: Option<String>,
    /// There was no Lease at all.
    pub fresh: bool,
}

/// How long to wait for another driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// For a live driver so long; a dead one's expiry is always waited for.
    For(Duration),
    /// Not even for expiry: an abort.
    None,
}

pub fn held_by(service: &str, holder: &str) -> anyhow::Error {
    Failure::new(Kind::Held, "held", format!("{holder} drives the rollout of {service}"))
        .object(format!("Lease/{service}-rollout"))
        .hint(
            "`msctl rollout watch` follows it; `--lock-wait 5m` waits for it; `msctl rollout abort` stops it",
        )
        .into()
}

/// Takes the Lease. Platform errors are the caller's to judge: nothing is written before this.
pub async fn acquire(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &str,
    patience: Patience,
) -> anyhow::Result<Held> {
    let started = host.elapsed();
    let mut unchanged: Option<(String, Duration)> = None;
    let mut told = false;
    loop {
        let seen = platform.lease().await?;
        let holder = seen.as_ref().map(|l| l.holder.clone()).filter(|h| !h.is_empty());
        let free = match (&seen, &holder) {
            (Some(lease), Some(holder)) if !host.gone(holder) && patience != Patience::None => {
                let now = host.elapsed();
                let same = unchanged.as_ref().filter(|(version, _)| *version == lease.version);
                let since = same.map_or(now, |(_, since)| *since);
                let renewed = unchanged.is_some() && same.is_none();
                unchanged = Some((lease.version.clone(), since));
                let fresh = lease.renewed.is_some_and(|at| {
                    let age = host.wall() - at.as_millisecond() as f64 / 1000.0;
                    (-5.0..EXPIRY.as_secs_f64()).contains(&age)
                });
                let over = match patience {
                    Patience::For(wait) => now.saturating_sub(started) >= wait,
                    Patience::None => true,
                };
                if (renewed || fresh) && over {
                    return Err(held_by(service, holder));
                }
                if !told {
                    told = true;
                    host.emit(&Event::Waiting { holder: holder.clone() });
                }
                now.saturating_sub(since) >= EXPIRY
            }
            _ => true,
        };
        if free {
            match platform.take_lease(&host.holder(), seen.as_ref()).await {
                Ok(lease) => return Ok(Held { lease, taken_from: holder, fresh: seen.is_none() }),
                Err(Error::Conflict(_)) => unchanged = None,
                Err(error) => return Err(error.into()),
            }
        }
        tokio::select! {
            biased;
            () = host.interrupted() => {
                return Err(Failure::new(crate::settings::interrupted(), "interrupted", "interrupted; nothing was written").into());
            }
            () = host.sleep(Duration::from_millis(250)) => {}
        }
    }
}
