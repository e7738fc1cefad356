//! The operation behind `rollout restart`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::driver::Driver;
use super::host::{Host, Process};
use super::lock::Patience;
use super::look::not_deployed;
use super::{Phase, Placed, deploy, tell};
use crate::context::Ctx;
use crate::error::{Failure, Kind};
use crate::platform::Platform;

/// Replaces the live pods one by one, under the Lease, so that no rollout runs meanwhile.
pub async fn restart(ctx: &Ctx, platform: &dyn Platform, service: &str) -> anyhow::Result<u32> {
    let host = Process::new(ctx);
    let place = platform.place();
    deploy::load(platform, service).await?.ok_or_else(|| not_deployed(service, &place))?;
    let begun = Driver::begin(&host, platform, service, Patience::For(Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    let live = match standing(&mut driver).await {
        Ok(live) => live,
        Err(error) => {
            driver.release().await;
            return Err(error);
        }
    };
    let task = ctx.ui.task(format!("restart {service}"));
    let state = Mutex::new((0, host.elapsed(), String::new()));
    let seen = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let progress = |replaced: u32, text: String| {
        task.say(text.clone());
        let mut seen = seen();
        let since = if replaced == seen.0 { seen.1 } else { host.elapsed() };
        *seen = (replaced, since, text);
    };
    let limit = driver.deadline();
    let stalled = async {
        loop {
            let left = (seen().1 + limit).saturating_sub(host.elapsed());
            if left.is_zero() {
                return stalled(service, limit, &seen().2);
            }
            host.sleep(left).await;
        }
    };
    let replaced = tokio::select! {
        late = stalled => Err(late),
        () = host.interrupted() => Err(Failure::new(crate::settings::interrupted(), "interrupted", format!("interrupted; some pods of {service} are replaced, none is missing")).into()),
        lost = driver.keep() => Err(lost),
        replaced = platform.restart(live.slot, &progress) => replaced,
    };
    driver.release().await;
    let replaced = replaced?;
    task.done(format!("{replaced} pods replaced"));
    Ok(replaced)
}

/// The live slot, where no rollout moves it meanwhile.
async fn standing(driver: &mut Driver<'_>) -> anyhow::Result<Placed> {
    let service = driver.service.to_owned();
    let refuse = |text: String, hint: &str| Err(Failure::failed("under-way", text).hint(hint).into());
    let under_way = driver.state.under_way().is_some();
    if under_way {
        tell::classify(driver.observe().await, &driver.platform.place())?;
    }
    let paused = driver.status().phase == Phase::Paused;
    let Some(live) = driver.state.live.filter(|_| !under_way || paused) else {
        return refuse(
            format!("a rollout of {service} is under way"),
            "abort it, or let it end or pause, first",
        );
    };
    match driver.seen.slots.get(&live.slot).map_or(0, |s| s.desired) {
        0 | 1 if under_way => refuse(
            format!("the rollout under way left {service} too few live pods to do without one"),
            "abort it, or let it end, first",
        ),
        _ => Ok(live),
    }
}

fn stalled(service: &str, limit: Duration, last: &str) -> anyhow::Error {
    let limit = crate::service::Duration(limit);
    let text = format!("no pod of {service} was replaced for {limit} (progressDeadline): {last}");
    Failure::new(Kind::Timeout, "timeout", text)
        .hint("at most one is missing; `msctl rollout restart` replaces all of them again once nothing holds it up")
        .into()
}
