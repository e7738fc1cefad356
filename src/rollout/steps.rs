//! The steps that a plan takes, from those that were asked for. Pure.

use super::plan::Motion;
use super::{Spec, Step, Wait};
use crate::error::Failure;
use crate::service::Amount;

/// The steps of `spec` for this motion; `proven`: the revision need not prove itself again.
pub fn of(spec: &Spec, motion: Motion, proven: bool) -> Result<Vec<Step>, Failure> {
    let steps = match motion {
        Motion::First | Motion::InPlace => Vec::new(),
        Motion::Router | Motion::Replicas | Motion::Switch if proven => vec![Step::Weight(100)],
        Motion::Router | Motion::Replicas | Motion::Switch => {
            spec.steps.iter().try_for_each(|step| needs_router(step, motion))?;
            smoked(spec, motion)?
        }
    };
    if spec.train { barred(steps, motion) } else { Ok(steps) }
}

/// The steps with the barrier of a train before the one that takes over.
fn barred(mut steps: Vec<Step>, motion: Motion) -> Result<Vec<Step>, Failure> {
    if motion == Motion::InPlace {
        return Err(Failure::usage(
            "train",
            "a rolling update replaces what is live and cannot wait for others",
        )
        .hint("give --canary or --blue-green, or another rollout.strategy"));
    }
    let end = steps.iter().position(|s| *s == Step::Weight(100)).unwrap_or(steps.len());
    if motion != Motion::First {
        steps.insert(end, Step::Pause(Wait::Train));
    }
    Ok(steps)
}

/// The steps with those that send traffic of our own before the first user's request reaches the candidate.
fn smoked(spec: &Spec, motion: Motion) -> Result<Vec<Step>, Failure> {
    let mut steps = spec.steps.clone();
    let named = |name: &String| {
        steps.iter().any(|s| matches!(s, Step::Analyze { metrics, .. } if metrics.contains(name)))
    };
    let smokes: Vec<String> = spec.judging.smokes().into_iter().filter(|n| !named(n)).collect();
    if smokes.is_empty() {
        return Ok(steps);
    }
    if motion == Motion::Replicas {
        return Err(Failure::usage(
            "router",
            "a smoke metric needs a moment without users, and here a pod is served as soon as it is available",
        )
        .hint("expose the service through a router, use blue-green, or leave the metric out"));
    }
    let first = steps.iter().position(|s| match s {
        Step::Weight(weight) => *weight > 0,
        Step::Match(rules) => !rules.is_empty(),
        Step::Mirror(mirror) => mirror.is_some(),
        Step::Cohort { .. } => true,
        Step::Scale(_) | Step::Pause(_) | Step::Analyze { .. } | Step::Experiment { .. } => false,
    });
    let Some(first) = first else { return Ok(steps) };
    let analyze = Step::Analyze { seconds: None, metrics: smokes };
    if steps[..first].iter().any(|s| matches!(s, Step::Scale(_))) {
        steps.insert(first, analyze);
        return Ok(steps);
    }
    let share = |percent: u8| Amount::Share(crate::service::Percent(f64::from(percent)));
    let pods = match &steps[first] {
        Step::Weight(percent) => share(*percent),
        Step::Cohort { matches, .. } if !matches.is_empty() => share(100),
        Step::Cohort { percent, .. } => share(*percent),
        Step::Mirror(Some(mirror)) => share(mirror.percent),
        _ => Amount::Count(1),
    };
    // The pods that the first share needs, and from there what each share needs.
    if steps[first] != Step::Weight(100) {
        steps.insert(first + 1, Step::Scale(None));
    }
    steps.splice(first..first, [Step::Scale(Some(pods)), analyze]);
    Ok(steps)
}

fn needs_router(step: &Step, motion: Motion) -> Result<(), Failure> {
    let what = match (step, motion) {
        (Step::Match(_), Motion::Replicas | Motion::Switch) => "a header or match step",
        (Step::Mirror(_), Motion::Replicas | Motion::Switch) => "mirroring",
        (Step::Cohort { .. }, Motion::Replicas | Motion::Switch) => "an A/B test",
        (Step::Scale(_), Motion::Replicas) => "a scale step",
        _ => return Ok(()),
    };
    Err(Failure::usage(
        "router",
        format!("{what} needs a router, and here numbers of pods split the traffic"),
    )
    .hint("expose the service through a router (`expose`, `traffic.router`), or use another strategy"))
}
