//! The operation behind `rollout undo`: a rollout whose target was live before.

use std::time::Duration;

use super::ask::{Obeyed, ask};
use super::driver::{Driver, Goal, Mode};
use super::host::{Host, Process, person};
use super::lock::Patience;
use super::look::{look, not_deployed};
use super::state::{State, Verb};
use super::{Event, Facts, Motion, Options, Spec, Until, deploy, plan, start, tell};
use crate::context::Ctx;
use crate::error::{Failure, Kind};
use crate::platform::{Configuration, Error, Platform};
use crate::service::{Service, Strategy};

/// Returns to the last revision that was live, or to `to`; during a rollout that is, first, an abort.
pub async fn undo(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &Service,
    to: Option<u32>,
) -> anyhow::Result<Obeyed> {
    let host = Process::new(ctx);
    let done = back(&host, platform, service, &person(ctx), to).await;
    host.finish();
    done
}

pub(super) async fn back(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &Service,
    by: &str,
    to: Option<u32>,
) -> anyhow::Result<Obeyed> {
    let name = service.service.as_str();
    let place = platform.place();
    let state = deploy::load(platform, name).await?.ok_or_else(|| not_deployed(name, &place))?;
    let shifting = state.under_way().is_some_and(|r| r.from.is_some());
    let onward = to.is_some() && to != state.live.map(|l| l.revision);
    if shifting && !onward {
        return ask(host, platform, name, by, Verb::Abort).await;
    }
    let target = target(&state, name, to)?;
    if shifting {
        ask(host, platform, name, by, Verb::Abort).await?;
    }
    if state.live.is_some_and(|l| l.revision == target) {
        let (_, _, status) = look(platform, name).await?;
        return Ok(Obeyed::Said(format!("revision {target} is live already"), status));
    }
    let started = host.elapsed();
    let begun = Driver::begin(host, platform, name, Patience::For(Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    let live = |state: &State| state.live.map(|l| l.revision);
    if live(&driver.state) != live(&state) {
        // Whoever asked meant the version that was live then.
        let now = live(&driver.state).unwrap_or(0);
        driver.release().await;
        let text = format!("{name}: revision {now} has become live meanwhile, and nothing was undone");
        return Err(Failure::new(Kind::Held, "changed", text)
            .hint("`msctl rollout history` shows what happened; say it again if that is to be undone")
            .into());
    }
    if let Err(error) = begin_undo(&mut driver, service, target, by).await {
        driver.release().await;
        return Err(error);
    }
    deploy::drive(driver, &Goal::new(Mode::Drive(Until::Healthy)), Vec::new(), started)
        .await
        .map(Obeyed::Driven)
}

fn target(state: &State, name: &str, to: Option<u32>) -> anyhow::Result<u32> {
    let lives = state.lives();
    let known = || {
        let once = lives.iter().collect::<std::collections::BTreeSet<_>>();
        once.into_iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
    };
    let outdated = |revision: u32| {
        let text = format!("revision {revision} of {name} needs a schema that a contract took away");
        let hint =
            format!("the contract of revision {} was run; roll out a mended version", state.contracted);
        Failure::failed("contracted", text).hint(hint).into()
    };
    let before = state.live.and_then(|live| lives.iter().rev().find(|r| **r != live.revision));
    match to {
        None => state.undo_target().ok_or_else(|| match before {
            Some(before) => outdated(*before),
            None => {
                let text = format!("no revision of {name} was live before the present one");
                Failure::failed("no-target", text).into()
            }
        }),
        Some(number) if state.outdated(number) && lives.contains(&number) => Err(outdated(number)),
        Some(number) if lives.contains(&number) && state.revision(number).is_some_and(|r| !r.pruned) => {
            Ok(number)
        }
        Some(number) => Err(not_kept(name, number).hint(format!("live were: {}", known())).into()),
    }
}

fn not_kept(name: &str, revision: u32) -> Failure {
    Failure::failed(
        "no-target",
        format!("revision {revision} of {name} was never live, or is no longer kept"),
    )
}

async fn begin_undo(driver: &mut Driver<'_>, service: &Service, target: u32, by: &str) -> anyhow::Result<()> {
    let place = driver.platform.place();
    let can = tell::classify(driver.platform.capabilities().await, &place)?;
    tell::classify(driver.observe().await, &place)?;
    let mut state = driver.state.clone();
    let scaler = state.live.and_then(|l| driver.seen.slots.get(&l.slot)?.scaler);
    // An undo is of a version: bounds that a person gave the autoscaler since stay.
    if let Some(seen) = scaler.filter(|s| !s.held && state.under_way().is_none()) {
        state.scaling = state.scaling.map(|_| seen);
    }
    let last = state.deploys.iter().rev().find(|d| d.result == super::DeployResult::Healthy);
    let strategy = match last {
        Some(deploy) if deploy.in_place => Strategy::Rolling,
        Some(deploy) if deploy.from.is_none() => Strategy::Rolling,
        // The way back is no test; where it needs steps at all, a canary's are meant.
        Some(deploy) if matches!(deploy.strategy, Strategy::Rolling | Strategy::Ab | Strategy::Mirror) => {
            Strategy::Canary
        }
        Some(deploy) => deploy.strategy,
        None => Strategy::Rolling,
    };
    let spec = Spec::resolve(service, &Options { strategy: Some(strategy), ..Default::default() })?;
    let spec =
        Spec { replicas: state.replicas, autoscaled: state.autoscaled, scaling: state.scaling, ..spec };
    let idle = state.idle();
    let kept = driver.seen.slots.get(&idle).is_some_and(|s| {
        s.revision == target && s.updated_available >= spec.replicas.max(1) && s.terminating == 0
    });
    let facts = Facts {
        router: can.router.as_ref().map(|_| can.route_lag.as_millis() as u64),
        can: can.abilities,
        live: true,
        kept,
        known: state.recent(target, spec.window),
    };
    let plan = plan(&spec, &facts)?;
    let kept = kept && plan.motion != Motion::InPlace;
    let mut next = start(&state, plan, target, kept, by, driver.seen.time);
    if let Some(deploy) = next.deploys.last_mut() {
        deploy.undo = true;
    }
    let then = match driver.platform.get_template(target).await {
        // Pruned by a driver that died before it could say so.
        Err(Error::NotFound(_)) => return Err(not_kept(driver.service, target).into()),
        then => tell::classify(then, &place)?,
    };
    let restored = match state.live {
        Some(live) => {
            let platform = driver.platform;
            let (now, then) =
                futures::join!(configuration(platform, live.revision), platform.configuration(&then));
            restored(&now, &then)
        }
        None => Vec::new(),
    };
    let events = tell::classify(driver.begin_with(next).await, &place)?;
    driver.tell(Event::Started {
        service: driver.service.to_owned(),
        revision: target,
        from: state.live.map(|l| l.revision),
        strategy: format!("undo ({strategy})"),
        image: state.revision(target).map(|r| r.image.clone()).unwrap_or_default(),
    });
    if !restored.is_empty() {
        driver.tell(Event::Restores { revision: target, what: restored });
    }
    events.into_iter().for_each(|event| driver.tell(event));
    Ok(())
}

async fn configuration(platform: &dyn Platform, revision: u32) -> Configuration {
    match platform.get_template(revision).await {
        Ok(template) => platform.configuration(&template).await,
        Err(_) => Configuration::default(),
    }
}

/// How what configured a version `then` differs from what is `now`.
fn restored(now: &Configuration, then: &Configuration) -> Vec<String> {
    let short = |text: &String| text.chars().take(60).collect::<String>();
    let values = then.values.iter().filter_map(|(name, value)| match now.values.get(name) {
        Some(present) if present == value => None,
        Some(present) => Some(format!("{name}={} (is {})", short(value), short(present))),
        None => Some(format!("{name}={}", short(value))),
    });
    let gone = now.values.keys().filter(|name| !then.values.contains_key(*name));
    let secrets = match (&now.secrets, &then.secrets) {
        (now, then) if now == then => None,
        (_, Some(_)) => Some("its secrets".to_owned()),
        (_, None) => Some("no secrets".to_owned()),
    };
    values.chain(gone.map(|name| format!("no {name}"))).chain(secrets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_what_differs() {
        let of = |values: &[(&str, &str)], secrets: Option<&str>| Configuration {
            values: values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            secrets: secrets.map(str::to_owned),
        };
        let now = of(&[("LEVEL", "debug"), ("NEW", "1"), ("SAME", "x")], Some("b"));
        let then = of(&[("LEVEL", "info"), ("OLD", "2"), ("SAME", "x")], Some("a"));
        assert_eq!(restored(&now, &then), ["LEVEL=info (is debug)", "OLD=2", "no NEW", "its secrets"]);
        assert_eq!(restored(&now, &now), Vec::<String>::new());
        assert_eq!(restored(&of(&[], Some("b")), &of(&[], None)), ["no secrets"]);
    }
}
