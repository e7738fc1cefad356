//! From what was asked and what the target is to the plan the engine follows; stored with the rollout. Pure.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::analysis::Judging;
use super::replicas::{self, Bounds, Counts};
use super::{Abilities, Affinity, Match, Mirror, Routing, Slot, Spec, Step, Sticky, Wait, steps};
use crate::error::Failure;
use crate::service::{Amount, Strategy};

/// How the new revision comes to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Motion {
    /// Nothing serves yet: straight to live.
    First,
    /// The live slot's pods are replaced by the platform.
    InPlace,
    /// A router moves the traffic between the slots.
    Router,
    /// Numbers of pods, all selected, move it.
    Replicas,
    /// The service's name is pointed at the other slot, once.
    Switch,
}

/// What is known of the target when the plan is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// A router splits the traffic; its lag in milliseconds.
    pub router: Option<u64>,
    /// What the router can do beside weights.
    pub can: Abilities,
    /// A revision serves.
    pub live: bool,
    /// The idle slot runs the wanted revision at full size: its way back is one switch.
    pub kept: bool,
    /// The wanted revision was live so recently that it need not prove itself again.
    pub known: bool,
}

/// Everything the engine needs to drive one rollout to its end; any machine can.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub strategy: Strategy,
    pub motion: Motion,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    pub surge: Amount,
    pub unavailable: Amount,
    /// Seconds without progress after which the new revision failed.
    pub deadline: u64,
    pub rollback_deadline: u64,
    pub scale_down_delay: u64,
    pub abort_delay: Option<u64>,
    /// Milliseconds that traffic may lag behind a write to the router.
    pub lag: u64,
    pub history: u32,
    /// Live revisions that an undo reaches without steps; zero in plans of an older msctl.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub window: u32,
    #[serde(default)]
    pub dynamic_stable: bool,
    #[serde(default)]
    pub no_rollback: bool,
    #[serde(default)]
    pub proceed: bool,
    /// Clients stay with the slot that they met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Sticky>,
    /// By what the candidate is judged; nothing where it need not prove itself.
    #[serde(default, skip_serializing_if = "Judging::is_unset")]
    pub judging: Judging,
    /// Of all the above.
    #[serde(default)]
    pub hash: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Makes the plan, or says what the target cannot do.
pub fn plan(spec: &Spec, facts: &Facts) -> Result<Plan, Failure> {
    let motion = match (facts.live, facts.kept, spec.strategy, facts.router) {
        (false, _, _, _) => Motion::First,
        (true, _, Strategy::Rolling, _) => Motion::InPlace,
        (true, _, _, Some(_)) => Motion::Router,
        (true, true, _, None) => Motion::Switch,
        (true, false, Strategy::BlueGreen, None) => Motion::Switch,
        (true, false, _, None) => Motion::Replicas,
    };
    let steps = steps::of(spec, motion, facts.kept || facts.known)?;
    let proves = !facts.kept && !facts.known && !matches!(motion, Motion::First | Motion::InPlace);
    let mut plan = Plan {
        strategy: spec.strategy,
        motion,
        steps,
        surge: spec.surge,
        unavailable: spec.unavailable,
        deadline: spec.deadline,
        rollback_deadline: spec.rollback_deadline,
        scale_down_delay: spec.scale_down_delay,
        abort_delay: spec.abort_delay,
        lag: facts.router.unwrap_or(0),
        history: spec.history,
        window: spec.window,
        dynamic_stable: spec.dynamic_stable && motion == Motion::Router && !spec.autoscaled,
        no_rollback: spec.no_rollback,
        proceed: spec.proceed,
        affinity: spec.affinity.clone().filter(|_| motion == Motion::Router),
        judging: if proves { spec.judging.clone() } else { Judging::default() },
        hash: String::new(),
    };
    able(&plan, spec, facts)?;
    plan.hash = plan.digest();
    Ok(plan)
}

/// Refuses what the router cannot do, before anything is written.
fn able(plan: &Plan, spec: &Spec, facts: &Facts) -> Result<(), Failure> {
    let kept = facts.kept || facts.known;
    if plan.motion == Motion::Replicas && spec.affinity.is_some() && !kept {
        return Err(Failure::usage(
            "router",
            "rollout.affinity needs a router, and here numbers of pods split the traffic",
        )
        .hint(
            "expose the service through a router (`expose`, `traffic.router`), or remove rollout.affinity",
        ));
    }
    if plan.motion != Motion::Router {
        return Ok(());
    }
    let routing = |cursor: usize| plan.shape(cursor, spec.replicas).routing(Slot::Green, 2, Some(1));
    match (0..plan.steps.len()).find_map(|cursor| facts.can.lacks(&routing(cursor))) {
        None => Ok(()),
        Some(lack) => Err(Failure::usage("router", format!("the router cannot do {}", lack.what)).hint(format!(
            "who can: {}; name one with `traffic.router` or `traffic.gateway`, or leave that out (docs/routers.md)",
            lack.who
        ))),
    }
}

/// Where a rollout wants to be at one of its steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub weight: u8,
    pub matches: Vec<Match>,
    pub mirror: Option<Mirror>,
    pub affinity: Option<Sticky>,
    pub pods: Counts,
}

impl Shape {
    /// Some request may reach the candidate.
    pub fn served(&self) -> bool {
        self.weight > 0 || !self.matches.is_empty() || self.mirror.is_some()
    }

    /// As the router is told, for a candidate that runs `revision` beside the live one.
    pub fn routing(&self, candidate: Slot, revision: u32, live: Option<u32>) -> Routing {
        let affinity = self.affinity.as_ref().map(|sticky| Affinity {
            cookie: sticky.cookie.clone(),
            max_age: sticky.max_age,
            candidate: revision.to_string(),
            stable: live.filter(|_| sticky.cohort).map(|l| l.to_string()),
        });
        Routing {
            candidate,
            weight: self.weight,
            matches: self.matches.clone(),
            mirror: self.mirror.clone(),
            affinity,
        }
    }
}

impl Plan {
    fn digest(&self) -> String {
        let bare = Plan { hash: String::new(), ..self.clone() };
        let text = serde_json::to_string(&bare).unwrap_or_default();
        hex::encode(&Sha256::digest(text.as_bytes())[..8])
    }

    /// Nobody edited the stored plan, and this msctl reads it as the one that made it did.
    pub fn genuine(&self) -> bool {
        self.hash == self.digest()
    }

    /// The same way, judged alike.
    pub fn leads_as(&self, other: &Plan) -> bool {
        (self.strategy, self.motion, &self.steps, &self.judging)
            == (other.strategy, other.motion, &other.steps, &other.judging)
    }

    /// The last step that gives the candidate everything.
    pub fn whole(&self) -> usize {
        let whole = self.steps.iter().rposition(|s| *s == Step::Weight(100));
        whole.unwrap_or(self.steps.len().saturating_sub(1))
    }

    pub fn bounds(&self, replicas: u32) -> Bounds {
        Bounds::new(replicas, self.surge.ceil(replicas), self.unavailable.floor(replicas))
    }

    /// Why nobody should have to stay for it: minutes of waiting with users on the candidate.
    pub fn long(&self) -> Option<String> {
        const LONG: u64 = 600;
        let over = self.steps.iter().find(|step| match step {
            Step::Pause(Wait::Seconds(seconds)) => *seconds > LONG,
            Step::Analyze { seconds, .. } => seconds.is_some_and(|s| s > LONG),
            Step::Experiment { seconds, .. } => *seconds > LONG,
            _ => false,
        });
        match (self.strategy, over) {
            (Strategy::Ab, _) if !self.steps.is_empty() => Some("an A/B test runs for hours".into()),
            (_, Some(step)) => Some(format!("a step takes over ten minutes ({})", step.label())),
            _ => None,
        }
    }

    /// The shape at step `cursor`, for a service of `replicas` pods.
    pub fn shape(&self, cursor: usize, replicas: u32) -> Shape {
        let mut shape = Shape {
            weight: 0,
            matches: Vec::new(),
            mirror: None,
            affinity: None,
            pods: Counts { candidate: 0, live: replicas },
        };
        let mut scale: Option<Amount> = None;
        // A rule of a step ends with the wait that follows it; a cohort's with the rollout.
        let (mut passing, mut cohort) = (false, false);
        for step in self.steps.iter().take(cursor + 1) {
            if std::mem::take(&mut passing) {
                shape.matches.clear();
            }
            match step {
                Step::Weight(weight) => shape.weight = *weight,
                Step::Scale(amount) => scale = *amount,
                Step::Pause(_) | Step::Analyze { .. } | Step::Experiment { .. } => passing = !cohort,
                Step::Match(rules) => shape.matches = rules.clone(),
                Step::Mirror(mirror) => shape.mirror = mirror.clone(),
                Step::Cohort { matches, percent } => {
                    cohort = true;
                    shape.matches = matches.clone();
                    shape.weight = *percent;
                }
            }
        }
        if shape.weight >= 100 {
            shape.matches.clear();
            shape.mirror = None;
        }
        shape.affinity = self.affinity.clone().filter(|_| (1..100).contains(&shape.weight));
        shape.pods = self.pods(&shape, scale, cohort, replicas);
        shape
    }

    fn pods(&self, shape: &Shape, scale: Option<Amount>, cohort: bool, replicas: u32) -> Counts {
        let full = replicas.max(1);
        let copied = shape.mirror.as_ref().map_or(0, |m| m.percent);
        match self.motion {
            Motion::Replicas => replicas::split(replicas, shape.weight, self.surge.ceil(full) > 0),
            Motion::Router | Motion::Switch | Motion::First | Motion::InPlace => {
                let by_weight = match self.motion {
                    // Nobody knows how many a cohort is: it may be all of them.
                    Motion::Router if cohort && !shape.matches.is_empty() => full,
                    Motion::Router => replicas::carrying(full, shape.weight.max(copied)),
                    _ => 0,
                };
                let wanted = match scale {
                    _ if shape.weight >= 100 => full,
                    Some(amount) => amount.ceil(full),
                    None => by_weight,
                };
                let live = if self.dynamic_stable {
                    replicas::carrying(replicas, 100 - shape.weight.min(100))
                } else {
                    replicas
                };
                Counts { candidate: wanted.max(u32::from(shape.served())), live }
            }
        }
    }

    /// What people should know of the way requests are chosen.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(sticky) = &self.affinity {
            let who = if sticky.cohort { "either slot" } else { "the candidate" };
            let age = sticky
                .max_age
                .map_or("its session".into(), |s| crate::service::Duration::secs(s).to_string());
            notes.push(format!(
                "cookie {} keeps a client with {who} for {age}, until the weight is 0",
                sticky.cookie
            ));
        }
        let writes = |mirror: &Mirror| {
            let safe = |m: &String| ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&m.as_str());
            mirror.methods.is_empty() || !mirror.methods.iter().all(safe)
        };
        let copies =
            self.steps.iter().filter_map(|s| if let Step::Mirror(m) = s { m.as_ref() } else { None });
        if copies.into_iter().any(writes) {
            notes.push(
                "the mirror copies requests that change something: what they change is changed twice".into(),
            );
        }
        notes
    }

    /// What each step will mean in pods, for the plan that is shown before anything is written.
    pub fn forecast(&self, replicas: u32) -> Vec<StepForecast> {
        let bounds = self.bounds(replicas);
        let mut before = Counts { candidate: 0, live: replicas };
        let steps = self.steps.iter().enumerate().map(|(index, step)| {
            let Shape { weight, pods, .. } = self.shape(index, replicas);
            let peak = match self.motion {
                Motion::Replicas => before.total().max(pods.total()).max(if pods == before {
                    0
                } else {
                    (bounds.replicas + bounds.surge).min(before.total() + pods.total())
                }),
                Motion::Router | Motion::Switch | Motion::First | Motion::InPlace => {
                    pods.candidate.max(before.candidate) + pods.live.max(before.live)
                }
            };
            before = pods;
            let fresh = if matches!(step, Step::Experiment { .. }) { 2 } else { 0 };
            let reached = if self.motion == Motion::Replicas { pods.share() } else { weight };
            StepForecast {
                step: step.label(),
                candidate: pods.candidate,
                live: pods.live,
                peak: peak + fresh,
                weight: reached,
            }
        });
        steps.collect()
    }
}

/// One step as it will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepForecast {
    pub step: String,
    pub candidate: u32,
    pub live: u32,
    /// The most pods of both slots on the way there.
    pub peak: u32,
    /// The share the candidate really gets, in percent.
    pub weight: u8,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Options;

    fn spec(replicas: u32, rollout: &str) -> Spec {
        let text = format!("service: orders\nreplicas: {replicas}\nrollout: {rollout}\n");
        let service = crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap();
        Spec::resolve(&service, &Options::default()).unwrap()
    }

    const ROUTER: Facts =
        Facts { router: Some(100), can: Abilities::ALL, live: true, kept: false, known: false };

    #[test]
    fn scenario_6_scale_steps_with_a_router() {
        let spec = spec(
            4,
            "{strategy: canary, steps: [{pause: {}}, {scale: 25%}, {pause: {}}, {weight: 50}, {pause: {}}, \
             {scale: 3}, {pause: {}}, {scale: match}, {pause: {}}, {weight: 100}]}",
        );
        let plan = plan(&spec, &ROUTER).unwrap();
        let pods: Vec<u32> = plan.forecast(4).iter().map(|s| s.candidate).collect();
        assert_eq!(pods, [0, 1, 1, 1, 1, 3, 3, 2, 2, 4]);
        assert!(plan.forecast(4).iter().all(|s| s.live == 4));
    }

    #[test]
    fn without_a_router_the_reachable_weight_is_told() {
        let spec = spec(3, "{strategy: canary, surge: 0, unavailable: 1, steps: [{weight: 5}]}");
        let plan = plan(&spec, &Facts { live: true, ..Default::default() }).unwrap();
        assert_eq!(plan.forecast(3)[0].weight, 33);
    }

    #[test]
    fn a_step_the_target_cannot_do_is_refused() {
        let header = "{strategy: canary, steps: [{weight: 20}, {header: {name: x, exact: y}}]}";
        assert!(plan(&spec(3, header), &Facts { live: true, ..Default::default() }).is_err());
        assert!(plan(&spec(3, header), &Facts { can: Abilities::default(), ..ROUTER }).is_err());
        assert!(plan(&spec(3, header), &ROUTER).is_ok());
    }

    #[test]
    fn the_hash_covers_the_steps() {
        let mut made = plan(&spec(3, "{strategy: canary}"), &ROUTER).unwrap();
        assert!(made.genuine());
        made.steps.remove(0);
        assert!(!made.genuine());
    }

    #[test]
    fn what_is_long_is_told() {
        let of = |rollout: &str, facts: Facts| plan(&spec(3, rollout), &facts).unwrap().long();
        assert_eq!(of("{strategy: canary, steps: [{weight: 10}, {pause: 10m}]}", ROUTER), None);
        assert_eq!(of("{strategy: canary, steps: [{weight: 10}, {pause: {}}]}", ROUTER), None);
        assert!(of("{strategy: canary, steps: [{weight: 10}, {pause: 601s}]}", ROUTER).is_some());
        // The first deploy has no steps.
        assert_eq!(of("{strategy: canary, steps: [{weight: 10}, {pause: 1h}]}", Facts::default()), None);
    }

    #[test]
    fn motions() {
        let of = |strategy: &str, facts: Facts| {
            plan(&spec(3, &format!("{{strategy: {strategy}}}")), &facts).unwrap().motion
        };
        let bare = Facts { live: true, ..Default::default() };
        assert_eq!(of("canary", Facts::default()), Motion::First);
        assert_eq!(of("rolling", ROUTER), Motion::InPlace);
        assert_eq!(of("canary", ROUTER), Motion::Router);
        assert_eq!(of("blue-green", ROUTER), Motion::Router);
        assert_eq!(of("canary", bare), Motion::Replicas);
        assert_eq!(of("canary", Facts { kept: true, ..bare }), Motion::Switch);
        assert_eq!(of("blue-green", bare), Motion::Switch);
    }
}
