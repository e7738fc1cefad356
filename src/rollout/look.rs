//! The operations behind `status` and `rollout history`.

use jiff::Timestamp;
use serde::Serialize;

use super::state::State;
use super::status::Driving;
use super::{Observation, Phase, Status, status, tell};
use super::{deploy, lock};
use crate::error::Failure;
use crate::platform::Platform;

/// The service as it is now.
pub async fn look(
    platform: &dyn Platform,
    service: &str,
) -> anyhow::Result<(Option<State>, Observation, Status)> {
    let place = platform.place();
    let state = deploy::load(platform, service).await?;
    if state.is_none() {
        let seen = Observation::default();
        let absent = status(service, None, &seen, &Driving::default());
        return Ok((None, seen, absent));
    }
    let lease = tell::classify(platform.lease().await, &place)?;
    let seen = tell::classify(platform.observe().await, &place)?;
    let driving = driving(lease.as_ref(), seen.time);
    let status = status(service, state.as_ref(), &seen, &driving);
    Ok((state, seen, status))
}

/// A Lease not renewed for its whole length is told as nobody's; taking it over is another matter.
fn driving(lease: Option<&crate::platform::Lease>, now: jiff::Timestamp) -> Driving {
    let Some(lease) = lease else { return Driving::default() };
    let age = lease.renewed.map(|at| now.duration_since(at));
    let stale = age.is_some_and(|a| a > jiff::SignedDuration::try_from(lock::EXPIRY).unwrap_or_default());
    let known = !lease.holder.is_empty() && !stale && !super::host::gone(&lease.holder);
    Driving { holder: known.then(|| lease.holder.clone()), last_seen: lease.renewed }
}

pub fn not_deployed(service: &str, place: &str) -> anyhow::Error {
    Failure::failed("not-deployed", format!("{service} is not deployed in {place}"))
        .hint("`msctl deploy` deploys it")
        .into()
}

/// The deploys and revisions, newest last, with the live one marked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    pub service: String,
    pub live: Option<u32>,
    pub deploys: Vec<super::Deploy>,
    pub revisions: Vec<super::Revision>,
    #[serde(skip)]
    pub now: Timestamp,
}

impl History {
    /// The deploy that serves: of several of the same revision, the last that became healthy.
    pub fn live_deploy(&self) -> Option<u32> {
        let served =
            |d: &&super::Deploy| d.result == super::DeployResult::Healthy && Some(d.revision) == self.live;
        self.deploys.iter().rev().find(served).map(|d| d.number)
    }
}

pub async fn history(platform: &dyn Platform, service: &str) -> anyhow::Result<History> {
    let state = deploy::load(platform, service).await?;
    let state = state.ok_or_else(|| not_deployed(service, &platform.place()))?;
    Ok(History {
        service: service.to_owned(),
        live: state.live.map(|l| l.revision),
        deploys: state.deploys,
        revisions: state.revisions,
        now: jiff::Timestamp::UNIX_EPOCH,
    })
}

/// The exit code that a status stands for.
pub fn code(status: &Status) -> u8 {
    match status.phase {
        Phase::Healthy | Phase::Progressing => 0,
        // A pause with an end waits for nobody.
        Phase::Paused if status.reason == "timed-pause" => 0,
        Phase::Paused => 6,
        Phase::Aborted => 5,
        Phase::Absent | Phase::Degraded => 1,
    }
}
