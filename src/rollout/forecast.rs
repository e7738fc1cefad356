//! What a deploy would do to the pods, said before anything is written.

use jiff::Timestamp;
use serde::Serialize;

use super::state::{DeployResult, Rollout, State};
use super::{
    Facts, Migration, MigrationPhase, Motion, Observation, Options, Placed, Plan, Spec, StepForecast, deploy,
    plan, start, tell,
};
use crate::error::Failure;
use crate::platform::{Capabilities, Demand, Platform, Release, Template};

/// What a deploy would do to the pods, said before anything is written.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    pub strategy: String,
    pub motion: Motion,
    pub router: Option<String>,
    /// The number the new revision has, or will get.
    pub revision: u32,
    pub from: Option<u32>,
    pub replicas: u32,
    /// The most pods of both slots at any time.
    pub peak: u32,
    pub steps: Vec<StepForecast>,
    pub plan_hash: String,
    pub notes: Vec<String>,
    /// Why nobody should have to stay for it.
    #[serde(skip)]
    pub long: Option<String>,
    /// What is asked for now and changes nothing, since this revision is under way already.
    #[serde(skip)]
    pub kept: Option<String>,
}

/// What is written down and not done; a first deploy has nothing to do it to.
pub(super) fn idle(spec: &Spec, motion: Motion) -> impl Iterator<Item = String> {
    spec.idle.iter().filter(move |_| motion == Motion::InPlace).map(|text| (*text).to_owned())
}

/// Plans without writing.
pub async fn forecast(
    platform: &dyn Platform,
    release: &Release,
    template: &Template,
    options: &Options,
) -> anyhow::Result<Forecast> {
    let spec = Spec::resolve(&release.service, options)?;
    let place = platform.place();
    let state = deploy::load(platform, &release.service.service).await?.unwrap_or_default();
    let known = tell::classify(platform.capabilities().await, &place)?;
    let seen = tell::classify(platform.observe().await, &place)?;
    let mut forecast = foreseen(&state, &seen, &known, &spec, template)?;
    if let Some(why) = forecast.long.take().filter(|_| options.detach.is_none()) {
        let note = format!("--detach is recommended: {why}, and a terminal that closes leaves it undriven");
        forecast.notes.push(note);
    }
    Ok(forecast)
}

/// R: what is asked for, or what an autoscaler has made of it.
fn size(state: &State, seen: &Observation, spec: &Spec) -> u32 {
    let live = state.live.and_then(|l| seen.slots.get(&l.slot)).filter(|_| spec.autoscaled);
    live.map_or(0, |s| s.desired).max(spec.replicas)
}

pub(super) fn foreseen(
    state: &State,
    seen: &Observation,
    known: &Capabilities,
    spec: &Spec,
    template: &Template,
) -> anyhow::Result<Forecast> {
    let mut state = state.clone();
    let from = state.live.map(|l| l.revision);
    let revision = state.number(&template.hash, &template.image, seen.time);
    let facts = facts(&state, seen, known, spec, revision);
    let asked = plan(spec, &facts)?;
    let joined = state.under_way().filter(|r| r.revision == revision);
    if joined.is_none() {
        refuse_split(&state, &asked)?;
        refuse_outdated(&state, &asked, revision)?;
    }
    // One that began as a way back to pods that were still there is no longer seen as one.
    let back = || plan(spec, &Facts { kept: true, ..facts });
    let led = |r: &&Rollout| r.plan.leads_as(&asked) || back().is_ok_and(|back| r.plan.leads_as(&back));
    let kept = joined.filter(|r| !led(r)).map(|_| {
        format!(
            "revision {revision} is under way by the plan it began with; another strategy, steps and metrics count \
             from the next rollout: `msctl rollout abort` and deploy again start it with them"
        )
    });
    let plan = joined.map_or(asked, |r| r.plan.clone());
    let replicas = size(&state, seen, spec);
    let steps = plan.forecast(replicas);
    let bounds = plan.bounds(replicas);
    let peak = steps.iter().map(|s| s.peak).max().unwrap_or(match plan.motion {
        Motion::First => replicas,
        _ => replicas + bounds.surge,
    });
    let mut notes = Vec::from_iter(kept.clone());
    if replicas == 1 && bounds.surge == 0 && matches!(plan.motion, Motion::InPlace | Motion::Replicas) {
        notes.push("gap: one replica without surge is replaced with nothing serving in between".to_owned());
    }
    notes.extend(migrations(&mut state, spec, &plan, revision, seen.time));
    notes.extend(idle(spec, plan.motion));
    if plan.motion == Motion::Replicas {
        let off = steps.iter().zip(&plan.steps).filter_map(|(reached, step)| match step {
            super::Step::Weight(wanted) if *wanted != reached.weight => {
                Some(format!("{wanted} % of {replicas} pods is {} %", reached.weight))
            }
            _ => None,
        });
        notes.extend(off);
    }
    if plan.motion == Motion::Router {
        notes.push(
            "callers that use the service's own name, not the router, move at the switch, in one step".into(),
        );
        notes.extend(plan.notes());
    }
    Ok(Forecast {
        long: plan.long(),
        kept,
        strategy: plan.strategy.to_string(),
        motion: plan.motion,
        router: known.router.clone(),
        revision,
        from,
        replicas,
        peak,
        steps,
        plan_hash: plan.hash,
        notes,
    })
}

/// What the rollout needs beside the pods that are there now.
pub fn demand(forecast: &Forecast, seen: &Observation, release: &Release) -> Demand {
    let held: u32 = seen.slots.values().map(|s| s.desired).sum();
    let in_turn = matches!(forecast.motion, Motion::InPlace | Motion::Replicas);
    let unavailable = release.service.rollout.unavailable.floor(forecast.replicas);
    Demand {
        more: forecast.peak.saturating_sub(held),
        spare: in_turn && unavailable > 0,
        most: release.service.autoscaling.as_ref().map(|a| a.max.saturating_sub(held)),
    }
}

pub(super) fn facts(
    state: &State,
    seen: &Observation,
    can: &Capabilities,
    spec: &Spec,
    revision: u32,
) -> Facts {
    let idle = state.idle();
    let kept = state.previous.is_some_and(|p| p.slot == idle && p.revision == revision)
        && seen.slots.get(&idle).is_some_and(|s| {
            s.revision == revision && s.updated_available >= spec.replicas.max(1) && s.terminating == 0
        });
    Facts {
        router: can.router.as_ref().map(|_| can.route_lag.as_millis() as u64),
        can: can.abilities,
        live: state.live.is_some(),
        kept,
        known: state.recent(revision, spec.window),
    }
}

/// The commands that will run, and what their end means.
fn migrations(state: &mut State, spec: &Spec, plan: &Plan, revision: u32, now: Timestamp) -> Vec<String> {
    let live = state.live.map(|l| l.revision);
    if live == Some(revision) {
        return Vec::new();
    }
    state.migrates(revision, spec.migrations.as_ref());
    let mut notes = Vec::new();
    let expand = state.migration(revision, MigrationPhase::Expand).filter(|m| !m.done());
    notes.extend(expand.map(|m| format!("expand runs before the first pod: {}", m.label())));
    let mut then = start(state, plan.clone(), revision, false, "", now);
    if let Some(deploy) = then.deploys.last_mut() {
        deploy.result = DeployResult::Healthy;
    }
    (then.live, then.candidate) = (Some(Placed { slot: then.idle(), revision }), None);
    while let Some(due) = then.contract_due(plan.window) {
        let command = then.migration(due, MigrationPhase::Contract).map(Migration::label).unwrap_or_default();
        notes.push(format!(
            "contract of revision {due} runs when revision {revision} is healthy: {command}; none before {due} can come back"
        ));
        then.contracted_by(due);
    }
    notes
}

/// What a contract took away cannot be had back by rolling out an old version.
pub(super) fn refuse_outdated(state: &State, plan: &Plan, revision: u32) -> anyhow::Result<()> {
    if !state.outdated(revision) || plan.proceed {
        return Ok(());
    }
    Err(Failure::failed(
        "contracted",
        format!(
            "revision {revision} needs a schema that the contract of revision {} took away",
            state.contracted
        ),
    )
    .hint("roll out a version that was made since; `--proceed` rolls this one out all the same")
    .into())
}

/// No Service can select adopted pods together with a candidate's: their labels have nothing in common.
pub(super) fn refuse_split(state: &State, plan: &Plan) -> anyhow::Result<()> {
    let live = state.live.map(|l| l.slot);
    let splits = plan.motion == Motion::Replicas;
    let adopted = state.adopted.as_ref().filter(|a| splits && a.active && live == Some(a.slot));
    let Some(adopted) = adopted else { return Ok(()) };
    Err(Failure::usage(
        "adopted",
        format!(
            "numbers of pods cannot split the traffic with the adopted Deployment {}",
            adopted.deployment
        ),
    )
    .hint("its first rollout is --blue-green, --rolling, or a canary by a router (`expose`)")
    .into())
}
