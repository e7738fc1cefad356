//! Hand-off: a driver in the cluster takes a rollout over from this machine, and what that driver itself does there.

use std::time::Duration;

use super::deploy::{self, Outcome};
use super::driver::{self, Driver, End, Goal, Mode};
use super::host::{Host, Process};
use super::lock::Patience;
use super::{Event, Until, tell};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{Platform, StandIn};

/// The waiting driver looks at the Lease four times a second; what takes longer is no hand-over.
const HANDING: Duration = Duration::from_secs(60);
/// So long a driver in the cluster waits for the machine that called it; its image may be pulled before that one is
/// ready.
const WAITING: Duration = Duration::from_secs(600);
/// It has time: what the delays of msctl.yaml leave for later, it does itself.
const TAIL: Duration = Duration::from_secs(24 * 3600);

/// Starts the driver in the cluster while the Lease is kept here. It waits for the Lease, so nothing is rolled out yet.
pub(super) async fn call(driver: &mut Driver<'_>, wanted: &StandIn, revision: u32) -> anyhow::Result<String> {
    let (platform, host, epoch) = (driver.platform, driver.host, driver.state.epoch);
    host.emit(&Event::Calling { image: wanted.image.clone() });
    tokio::select! {
        biased;
        () = host.interrupted() => {
            Err(Failure::new(crate::settings::interrupted(), "interrupted", "interrupted; nothing was rolled out").into())
        }
        lost = driver.keep() => Err(lost),
        called = platform.stand_in(wanted, revision, epoch) => called,
    }
}

/// Gives the Lease up and waits until the stand-in has it.
pub(super) async fn over(
    mut driver: Driver<'_>,
    job: &str,
    changes: Vec<crate::platform::Change>,
    started: Duration,
) -> anyhow::Result<Outcome> {
    driver.release().await;
    let (host, platform) = (driver.host, driver.platform);
    let ours = host.holder();
    let begun = host.elapsed();
    while host.elapsed().saturating_sub(begun) < HANDING {
        let lease = tell::classify(platform.lease().await, &platform.place())?;
        if let Some(holder) = lease.map(|l| l.holder).filter(|h| !h.is_empty() && *h != ours) {
            host.emit(&Event::HandedOver { holder, job: job.to_owned() });
            let seconds = host.elapsed().saturating_sub(started).as_secs_f64();
            tell::classify(driver.observe().await, &platform.place())?;
            return Ok(Outcome::of(&driver, End::Detached, changes, seconds));
        }
        if let Some(state) = deploy::load(platform, driver.service).await?
            && state.under_way().is_none()
        {
            // Quicker than the look: it is over already, and the driver's end is the rollout's.
            driver.state = state;
            let seconds = host.elapsed().saturating_sub(started).as_secs_f64();
            return Ok(Outcome::of(&driver, End::Detached, changes, seconds));
        }
        host.sleep(Duration::from_millis(100)).await;
    }
    let said = platform.dismiss(job, driver.state.epoch).await.ok().flatten();
    let mut failure = Failure::failed(
        "not-handed-over",
        format!("{job} runs, but did not take {} over within {} s", driver.service, HANDING.as_secs()),
    )
    .object(format!("Job/{job}"))
    .hint("nobody drives it: `msctl rollout attach` goes on here, `msctl rollout abort` takes it back");
    if let Some(said) = said {
        failure = failure.source(anyhow::anyhow!("it said last:\n{said}"));
    }
    Err(failure.into())
}

/// `attach --detach`: a rollout that nobody drives gets a driver in the cluster.
pub async fn attach(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &str,
    wanted: &StandIn,
) -> anyhow::Result<Outcome> {
    let host = Process::new(ctx);
    let place = platform.place();
    deploy::load(platform, service).await?.ok_or_else(|| super::not_deployed(service, &place))?;
    platform.may_stand_in(wanted).await?;
    let started = host.elapsed();
    let begun = Driver::begin(&host, platform, service, Patience::For(Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    let Some(revision) = driver.state.under_way().map(|r| r.revision) else {
        driver.release().await;
        return Err(Failure::failed("nothing-under-way", format!("no rollout of {service} is under way"))
            .hint("`msctl rollout attach --once` does what is late of the last one")
            .into());
    };
    let called = call(&mut driver, wanted, revision).await;
    let done = match called {
        Ok(job) => over(driver, &job, Vec::new(), started).await,
        Err(error) => {
            driver.release().await;
            Err(error)
        }
    };
    host.finish();
    done
}

/// What the driver in the cluster does: takes the rollout over, drives it to its end, pauses for a person included, and
/// does what is late. A restarted one that finds the rollout over ends well: its end was told by the one before.
pub async fn drive(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &str,
    timeout: Option<Duration>,
) -> anyhow::Result<Outcome> {
    let host = Process::patient(ctx);
    driven(&host, platform, service, timeout).await
}

pub(super) async fn driven(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &str,
    timeout: Option<Duration>,
) -> anyhow::Result<Outcome> {
    let started = host.elapsed();
    let begun = Driver::begin(host, platform, service, Patience::For(WAITING)).await;
    let mut driver = tell::classified(begun, &platform.place())?;
    let late = driver.state.under_way().is_none();
    if late {
        driver::finish(&mut driver, TAIL).await;
        let seconds = host.elapsed().saturating_sub(started).as_secs_f64();
        return Ok(Outcome::of(&driver, End::Idle, Vec::new(), seconds));
    }
    let goal = Goal { timeout, ..Goal::new(Mode::Drive(Until::Healthy)) };
    deploy::drive_with(driver, &goal, Vec::new(), started, TAIL).await
}
