//! What msctl.yaml and the flags ask of a rollout, resolved. Pure.

use serde::{Deserialize, Serialize};

use super::analysis::Judging;
use super::{HeaderMatch, MatchValue, Options};
use crate::error::Failure;
use crate::service::{Amount, HeaderSpec, PauseSpec, ScaleSpec, Service, StepSpec, Strategy};

/// One step of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The candidate's share in percent.
    Weight(u8),
    /// Candidate pods, whatever the weight; None follows the weight again.
    Scale(Option<Amount>),
    Pause(Wait),
    /// Judges these metrics (all when none is named) for so long; None until each has spoken.
    Analyze {
        seconds: Option<u64>,
        metrics: Vec<String>,
    },
    /// Requests that match go to the candidate; none removes the rule.
    Match(Vec<HeaderMatch>),
    /// Percent of the requests copied to the candidate.
    Mirror(u8),
}

impl Step {
    /// As people read it: `weight 25 %`.
    pub fn label(&self) -> String {
        match self {
            Step::Weight(weight) => format!("weight {weight} %"),
            Step::Scale(Some(Amount::Count(n))) => format!("scale to {n}"),
            Step::Scale(Some(share)) => format!("scale to {share}"),
            Step::Scale(None) => "scale to match the weight".into(),
            Step::Pause(Wait::Person) => "pause until promoted".into(),
            Step::Pause(Wait::Seconds(s)) => format!("pause {}", crate::service::Duration::secs(*s)),
            Step::Analyze { seconds, metrics } => {
                let time = seconds.map(|s| format!(" {}", crate::service::Duration::secs(s)));
                let names =
                    if metrics.is_empty() { String::new() } else { format!(" ({})", metrics.join(", ")) };
                format!("analyze{}{names}", time.unwrap_or_default())
            }
            Step::Match(rules) if rules.is_empty() => "remove the header rule".into(),
            Step::Match(rules) => {
                let names: Vec<&str> = rules.iter().map(|r| r.name.as_str()).collect();
                format!("header {}", names.join(", "))
            }
            Step::Mirror(0) => "stop the mirror".into(),
            Step::Mirror(percent) => format!("mirror {percent} %"),
        }
    }
}

/// How long a pause lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    Seconds(u64),
    Person,
}

/// A rollout as asked for, before the target is looked at.
#[derive(Debug, Clone)]
pub struct Spec {
    pub strategy: Strategy,
    pub replicas: u32,
    pub autoscaled: bool,
    pub surge: Amount,
    pub unavailable: Amount,
    /// Seconds; as are the following.
    pub deadline: u64,
    pub rollback_deadline: u64,
    pub scale_down_delay: u64,
    /// None: for ever.
    pub abort_delay: Option<u64>,
    pub history: u32,
    pub window: u32,
    pub dynamic_stable: bool,
    pub no_rollback: bool,
    pub proceed: bool,
    /// Of a canary or blue-green; the last is weight 100.
    pub steps: Vec<Step>,
    /// By what a candidate is judged.
    pub judging: Judging,
}

impl Spec {
    pub fn resolve(service: &Service, options: &Options) -> anyhow::Result<Spec> {
        let rollout = &service.rollout;
        // `--steps` names weights: a canary, where nothing else was asked.
        let strategy = match options.strategy {
            Some(strategy) => strategy,
            None if !options.steps.is_empty() => Strategy::Canary,
            None => rollout.strategy,
        };
        let steps = match strategy {
            Strategy::Rolling => Vec::new(),
            Strategy::Canary => canary(service, options)?,
            Strategy::BlueGreen => blue_green(service)?,
            Strategy::Ab | Strategy::Mirror => {
                return Err(Failure::usage(
                    "strategy",
                    format!("rollout.strategy: {strategy} is not part of this build"),
                )
                .hint("use rolling, canary (its steps know header and mirror) or blue-green")
                .into());
            }
        };
        if strategy != Strategy::Canary && !options.steps.is_empty() {
            return Err(
                Failure::usage("steps", format!("--steps belongs to a canary, not to {strategy}")).into()
            );
        }
        let judging = match strategy {
            Strategy::Rolling => Judging::default(),
            _ => Judging::resolve(service)?,
        };
        if rollout.affinity.is_some() {
            return Err(Failure::usage("affinity", "rollout.affinity is not part of this build")
                .hint("remove rollout.affinity, or use a header step")
                .into());
        }
        let seconds = |d: crate::service::Duration| d.0.as_secs();
        let deadline = seconds(rollout.progress_deadline).max(1);
        Ok(Spec {
            strategy,
            replicas: service.autoscaling.as_ref().map_or(service.replicas, |a| a.min),
            autoscaled: service.autoscaling.is_some(),
            surge: rollout.surge,
            unavailable: rollout.unavailable,
            deadline,
            rollback_deadline: options.rollback_timeout.map_or(deadline, |d| d.as_secs().max(1)),
            scale_down_delay: seconds(rollout.scale_down_delay),
            abort_delay: Some(seconds(rollout.abort_delay)).filter(|s| *s > 0),
            history: rollout.history.max(1),
            window: rollout.rollback_window,
            dynamic_stable: rollout.dynamic_stable,
            no_rollback: options.no_rollback,
            proceed: options.proceed,
            steps,
            judging,
        })
    }
}

fn canary(service: &Service, options: &Options) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    if !options.steps.is_empty() {
        steps.extend(options.steps.iter().map(|w| Step::Weight(*w)));
    } else if service.rollout.steps.is_empty() {
        steps.extend([10, 50].map(Step::Weight));
    } else {
        for spec in &service.rollout.steps {
            steps.push(step(spec)?);
        }
    }
    if !matches!(steps.iter().rev().find(|s| matches!(s, Step::Weight(_))), Some(Step::Weight(100))) {
        steps.push(Step::Weight(100));
    }
    // What follows weight 100 changes nothing that lasts.
    if let Some(last) = steps.iter().position(|s| *s == Step::Weight(100)) {
        let mut index = 0;
        steps.retain(|step| {
            index += 1;
            index <= last + 1 || matches!(step, Step::Analyze { .. })
        });
    }
    if let Some(pause) = options.pause {
        let wait = Step::Pause(Wait::Seconds(pause.as_secs()));
        steps = steps
            .into_iter()
            .flat_map(|s| match s {
                Step::Weight(100) => vec![s],
                Step::Weight(_) => vec![s, wait.clone()],
                other => vec![other],
            })
            .collect();
    }
    Ok(steps)
}

fn step(spec: &StepSpec) -> anyhow::Result<Step> {
    if spec.experiment.is_some() {
        return Err(Failure::usage("experiment", "rollout.steps: experiment is not part of this build")
            .hint("an analyze step judges the candidate against the live slot: `max: 1.2x`")
            .into());
    }
    if let Some(time) = spec.analyze {
        let seconds = Some(time.0.as_secs().max(1));
        return Ok(Step::Analyze { seconds, metrics: spec.metrics.clone() });
    }
    if let Some(weight) = spec.weight {
        return Ok(Step::Weight(weight));
    }
    if let Some(scale) = spec.scale {
        return Ok(Step::Scale(match scale {
            ScaleSpec::Match => None,
            ScaleSpec::Amount(amount) => Some(amount),
        }));
    }
    if let Some(pause) = spec.pause {
        return Ok(Step::Pause(match pause {
            PauseSpec::For(d) => Wait::Seconds(d.0.as_secs()),
            PauseSpec::Person {} => Wait::Person,
        }));
    }
    if let Some(header) = &spec.header {
        return Ok(Step::Match(rule(header, false)?.into_iter().collect()));
    }
    Ok(Step::Mirror(spec.mirror.unwrap_or(0)))
}

/// A header rule; None when it names nothing.
fn rule(spec: &HeaderSpec, cookie: bool) -> anyhow::Result<Option<HeaderMatch>> {
    let Some(name) = spec.name.clone() else { return Ok(None) };
    let values = [
        spec.exact.clone().map(MatchValue::Exact),
        spec.prefix.clone().map(MatchValue::Prefix),
        spec.regex.clone().map(MatchValue::Regex),
    ];
    let mut values = values.into_iter().flatten();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(Some(HeaderMatch { name, cookie, value })),
        _ => {
            Err(Failure::usage("header", format!("header {name}: give one of exact, prefix and regex"))
                .into())
        }
    }
}

fn blue_green(service: &Service) -> anyhow::Result<Vec<Step>> {
    let spec = &service.rollout.blue_green;
    let wrong =
        |key: &str, text: &str| Failure::usage("blue-green", format!("rollout.blueGreen.{key}: {text:?}"));
    let preview = match spec.preview_replicas.as_ref().map(|s| s.0.as_str()) {
        None | Some("all") => Amount::Share(crate::service::Percent(100.0)),
        Some(text) => text
            .parse()
            .map_err(|_| wrong("previewReplicas", text).hint("use all, a number or a percentage"))?,
    };
    let mut steps = vec![Step::Scale(Some(preview))];
    let analyze = |metrics: &Vec<String>| Step::Analyze { seconds: None, metrics: metrics.clone() };
    if !spec.pre.is_empty() {
        steps.push(analyze(&spec.pre));
    }
    match spec.promote.0.as_str() {
        "auto" => {}
        "manual" => steps.push(Step::Pause(Wait::Person)),
        text => {
            let wait: crate::service::Duration =
                text.parse().map_err(|_| wrong("promote", text).hint("use auto, manual, or a duration"))?;
            steps.push(Step::Pause(Wait::Seconds(wait.0.as_secs())));
        }
    }
    steps.push(Step::Weight(100));
    if !spec.post.is_empty() {
        steps.push(analyze(&spec.post));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(rollout: &str) -> Service {
        let text = format!("service: orders\nreplicas: 3\nrollout: {rollout}\n");
        crate::service::parse_yaml(&text, std::path::Path::new("msctl.yaml")).unwrap()
    }

    #[test]
    fn flags_replace_the_steps_and_100_is_implied() {
        let options = Options {
            strategy: Some(Strategy::Canary),
            steps: vec![10, 50],
            pause: Some(std::time::Duration::from_secs(5)),
            ..Default::default()
        };
        let spec = Spec::resolve(&service("{steps: [{weight: 80}]}"), &options).unwrap();
        let pause = Step::Pause(Wait::Seconds(5));
        let expected = vec![Step::Weight(10), pause.clone(), Step::Weight(50), pause, Step::Weight(100)];
        assert_eq!(spec.steps, expected);
    }

    #[test]
    fn blue_green_has_a_preview_a_pause_and_a_switch() {
        let spec = Spec::resolve(
            &service("{strategy: blue-green, blueGreen: {previewReplicas: 1, promote: manual}}"),
            &Options::default(),
        )
        .unwrap();
        assert_eq!(
            spec.steps,
            [Step::Scale(Some(Amount::Count(1))), Step::Pause(Wait::Person), Step::Weight(100)]
        );
    }

    #[test]
    fn what_this_build_cannot_judge_is_refused() {
        let error = Spec::resolve(&service("{strategy: ab}"), &Options::default()).expect_err("is refused");
        assert_eq!(crate::error::kind(&error).code(), 2);
    }
}
