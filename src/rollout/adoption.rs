//! Taking over what msctl did not make: an existing Deployment becomes the live slot, with no restart and no field of
//! it changed; and slots whose state is lost are taken up again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::deploy::{self, Outcome};
use super::driver::{Driver, Goal, Mode};
use super::host::{Host, Process, person};
use super::lock::Patience;
use super::state::{DeployResult, Intent, Revision, Stage, Verb};
use super::{
    Facts, Observation, Options, Placed, Scaler, Selection, Slot, Spec, State, obey, plan, start, tell,
};
use crate::context::Ctx;
use crate::error::Failure;
use crate::platform::{Adoption, Capabilities, Platform};
use crate::service::{Service, Strategy};

/// A Deployment of somebody else in a slot's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    pub slot: Slot,
    pub deployment: String,
    /// What its selector asks of pods, and so what reaches them.
    pub labels: BTreeMap<String, String>,
    /// The selector that the public Service had, where it was there already; it stays as it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<BTreeMap<String, String>>,
    /// The autoscaler that acts on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaler: Option<Bounded>,
    /// The number of the version it ran.
    pub revision: u32,
    /// It still is the slot; from the first version that takes the slot on, it is not.
    pub active: bool,
}

/// An autoscaler that msctl did not make, and its own bounds, which come back at every end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounded {
    pub name: String,
    pub own: Scaler,
}

/// What was, or would be, adopted.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    pub service: String,
    pub place: String,
    pub deployment: String,
    pub revision: u32,
    pub replicas: u32,
    pub image: String,
    pub notes: Vec<String>,
    pub written: bool,
}

pub async fn adopt(
    ctx: &Ctx,
    platform: &dyn Platform,
    service: &Service,
    deployment: &str,
    look_only: bool,
) -> anyhow::Result<Taken> {
    let host = Process::new(ctx);
    let done = taken(&host, platform, service, &person(ctx), deployment, look_only).await;
    host.finish();
    done
}

async fn taken(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &Service,
    by: &str,
    deployment: &str,
    look_only: bool,
) -> anyhow::Result<Taken> {
    let (name, place) = (service.service.as_str(), platform.place());
    if deploy::load(platform, name).await?.is_some_and(|s| s.live.is_some()) {
        return Err(Failure::failed("deployed", format!("{name} has a live version in {place} already"))
            .hint("`msctl rollout status` shows it; adopting is for what msctl does not know yet")
            .into());
    }
    let found = platform.inspect(deployment).await?;
    let mut taken = Taken {
        service: name.into(),
        place: place.clone(),
        deployment: deployment.into(),
        revision: found.revision.unwrap_or(found.numbered + 1),
        replicas: found.replicas,
        image: found.template.image.clone(),
        notes: found.notes.clone(),
        written: false,
    };
    if look_only {
        return Ok(taken);
    }
    let begun = Driver::begin(host, platform, name, Patience::For(std::time::Duration::ZERO)).await;
    let mut driver = tell::classified(begun, &place)?;
    let done = record(&mut driver, service, by, &found, taken.revision).await;
    driver.release().await;
    done?;
    taken.written = true;
    Ok(taken)
}

async fn record(
    driver: &mut Driver<'_>,
    service: &Service,
    by: &str,
    found: &Adoption,
    revision: u32,
) -> anyhow::Result<()> {
    let next = live(&driver.state, service, by, found, revision)?;
    write(driver, found, revision, next).await
}

async fn write(driver: &mut Driver<'_>, found: &Adoption, revision: u32, next: State) -> anyhow::Result<()> {
    let place = driver.platform.place();
    if !found.known {
        tell::classify(driver.platform.put_template(revision, &found.template).await, &place)?;
    }
    tell::classify(driver.save(next).await, &place)?;
    if found.adopted.is_some() {
        return Ok(());
    }
    // Whoever wrote before the state was lost is fenced out, and what a take-over had raised can be applied again.
    let epoch = driver.state.epoch;
    tell::classify(driver.platform.raise_epoch(epoch).await, &place)
}

/// The state in which what was found is live, as `revision`. Pure.
fn live(
    state: &State,
    service: &Service,
    by: &str,
    found: &Adoption,
    revision: u32,
) -> anyhow::Result<State> {
    let now = found.at;
    let spec = Spec::resolve(service, &Options::default())?;
    let spec = Spec { replicas: found.replicas, ..spec };
    let mut next = start(state, plan(&spec, &Facts::default())?, revision, false, by, now);
    next.epoch = next.epoch.max(found.epoch);
    next.replicas = found.replicas;
    next.autoscaled = spec.autoscaled;
    next.scaling = spec.scaling;
    next.numbered = found.numbered.max(revision);
    next.revisions.push(Revision {
        expand: None,
        contract: None,
        number: revision,
        hash: found.template.hash.clone(),
        image: found.template.image.clone(),
        at: now,
        commit: None,
        pruned: false,
    });
    next.adopted = found.adopted.clone().map(|a| Adopted { revision, ..a });
    settle(&mut next, Placed { slot: found.slot, revision }, now);
    Ok(next)
}

/// It serves already: there is nothing to roll out.
fn settle(state: &mut State, live: Placed, now: jiff::Timestamp) {
    state.live = Some(live);
    state.candidate = None;
    if let Some(rollout) = &mut state.rollout {
        rollout.stage = Stage::Healthy;
        rollout.tidy = true;
    }
    if let Some(deploy) = state.deploys.last_mut() {
        deploy.result = DeployResult::Healthy;
        deploy.ended = Some(now);
        deploy.reason = Some("adopted".into());
    }
}

/// Takes back what was under way when the state was lost: live is what the service's own name reaches. None: nothing
/// runs that could be taken back.
pub(super) async fn abort_lost(
    host: &dyn Host,
    platform: &dyn Platform,
    service: &Service,
    by: &str,
) -> anyhow::Result<Option<Outcome>> {
    let (name, place) = (service.service.as_str(), platform.place());
    let seen = tell::classify(platform.observe().await, &place)?;
    if seen.slots.values().all(|s| s.desired == 0 && s.replicas == 0) {
        return Ok(None);
    }
    let serves = Slot::ALL.into_iter().find(|s| seen.selection == Some(Selection::only(*s)));
    let serves = serves.ok_or_else(|| untold(name))?;
    let found = platform.inspect(&format!("{name}-{serves}")).await?;
    let revision = found.revision.unwrap_or(found.numbered + 1);
    let started = host.elapsed();
    let begun = Driver::begin(host, platform, name, Patience::None).await;
    let mut driver = tell::classified(begun, &place)?;
    let can = tell::classify(platform.capabilities().await, &place)?;
    let done = async {
        let next = live(&driver.state, service, by, &found, revision)?;
        write(&mut driver, &found, revision, taken_back(next, service, by, &can, &seen)?).await
    };
    if let Err(error) = done.await {
        driver.release().await;
        return Err(error);
    }
    deploy::drive(driver, &Goal::new(Mode::TakeBack), Vec::new(), started).await.map(Some)
}

/// The state in which whatever is in the other slot is aborted. Pure.
fn taken_back(
    state: State,
    service: &Service,
    by: &str,
    can: &Capabilities,
    seen: &Observation,
) -> anyhow::Result<State> {
    let revision = seen.slots.get(&state.idle()).map_or(0, |s| s.revision);
    let strategy = if can.router.is_some() { Strategy::Canary } else { Strategy::BlueGreen };
    let spec = Spec::resolve(service, &Options { strategy: Some(strategy), ..Options::default() })?;
    let spec = Spec { replicas: state.replicas, ..spec };
    let facts = Facts {
        router: can.router.as_ref().map(|_| can.route_lag.as_millis() as u64),
        can: can.abilities,
        live: true,
        ..Facts::default()
    };
    let mut next = start(&state, plan(&spec, &facts)?, revision, false, by, seen.time);
    next.numbered = next.numbered.max(revision);
    let intent = Intent { verb: Verb::Abort, by: by.to_owned(), at: seen.time };
    let obeyed = obey(&next, &intent, seen.time).map_err(|r| Failure::failed(r.reason, r.message))?;
    Ok(obeyed.0)
}

fn untold(name: &str) -> anyhow::Error {
    let text = format!(
        "the rollout state of {name} is gone, and Service {name} selects no one slot: which version is live cannot be told"
    );
    Failure::failed("state-lost", text)
        .object(format!("Service/{name}"))
        .hint(format!("`kubectl set selector service {name} '{NAME}={name},{SLOT}=blue'` (or green) says which; then abort again", NAME = "app.kubernetes.io/name", SLOT = "msctl.dev/slot"))
        .hint(format!("or `msctl adopt {name}-blue` (or green) takes up what serves; the next deploy empties the other slot"))
        .into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rollout::{Abilities, Effect, RouteObservation, Routing, SlotObservation, step};

    #[test]
    fn what_a_lost_state_left_half_way_goes_back_to_what_the_service_selects() {
        let text = "service: orders\nreplicas: 2\n";
        let service = crate::service::parse_yaml(text, std::path::Path::new("msctl.yaml")).unwrap();
        let now = jiff::Timestamp::from_second(1_000_000).unwrap();
        let template = crate::platform::Template {
            hash: "one".into(),
            image: "orders:1".into(),
            body: serde_json::Value::Null,
        };
        let found = Adoption {
            slot: Slot::Green,
            adopted: None,
            revision: Some(4),
            known: true,
            numbered: 5,
            replicas: 2,
            template,
            notes: Vec::new(),
            epoch: 7,
            at: now,
        };
        let slot = |revision| SlotObservation {
            revision,
            desired: 2,
            current: true,
            replicas: 2,
            updated: 2,
            ready: 2,
            available: 2,
            updated_available: 2,
            ..SlotObservation::default()
        };
        for router in [None, Some("a router".to_owned())] {
            let half = Routing { weight: 50, ..Routing::all(Slot::Green) };
            let route = router.as_ref().map(|_| RouteObservation {
                routing: half,
                accepted: true,
                refusal: None,
                since: None,
                by: None,
            });
            let seen = Observation {
                time: now,
                slots: [(Slot::Blue, slot(5)), (Slot::Green, slot(4))].into(),
                selection: Some(Selection::Green),
                route,
                ..Observation::default()
            };
            let can =
                Capabilities { router: router.clone(), route_lag: Duration::ZERO, abilities: Abilities::ALL };
            let state = live(&State::default(), &service, "me", &found, 4).unwrap();
            let state = taken_back(state, &service, "me", &can, &seen).unwrap();
            assert_eq!((state.epoch, state.numbered), (7, 5));
            assert_eq!(state.live, Some(Placed { slot: Slot::Green, revision: 4 }));
            assert_eq!(state.candidate, Some(Placed { slot: Slot::Blue, revision: 5 }));
            assert_eq!(state.rollout.as_ref().map(|r| r.stage), Some(Stage::Retreat));
            let decision = step("orders", &state, &seen, now);
            match router {
                Some(_) => assert!(
                    decision.effects.contains(&Effect::Route(Routing::split(Slot::Blue, 0))),
                    "{:?}",
                    decision.effects
                ),
                None => assert_eq!(decision.state.rollout.map(|r| r.stage), Some(Stage::Aborted)),
            }
        }
    }
}
