//! What msctl.yaml and the flags ask of a rollout, resolved. Pure.

use serde::{Deserialize, Serialize};

use super::analysis::Judging;
use super::{HeaderMatch, Match, MatchValue, Mirror, Options, Scaler};
use crate::error::Failure;
use crate::service::{
    Amount, Duration, HeaderSpec, MatchSpec, Migrations, MirrorSpec, PauseSpec, ScaleSpec, Service, StepSpec,
    Strategy,
};

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
    /// Fresh pods of both versions, judged against each other by these metrics (all when none is named).
    Experiment {
        seconds: u64,
        metrics: Vec<String>,
    },
    /// Requests that match go to the candidate, until the next wait is over; none removes the rule.
    Match(Vec<Match>),
    /// Requests copied to the candidate; None stops it.
    Mirror(Option<Mirror>),
    /// Who meets the candidate in an A/B test: all that match, and `percent` of the other clients, for good.
    Cohort {
        matches: Vec<Match>,
        percent: u8,
    },
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
            Step::Pause(Wait::Train) => "wait for the train".into(),
            Step::Pause(Wait::Seconds(s)) => format!("pause {}", crate::service::Duration::secs(*s)),
            Step::Experiment { seconds, metrics } => {
                let names =
                    if metrics.is_empty() { String::new() } else { format!(" ({})", metrics.join(", ")) };
                format!("experiment {}{names}", crate::service::Duration::secs(*seconds))
            }
            Step::Analyze { seconds, metrics } => {
                let time = seconds.map(|s| format!(" {}", crate::service::Duration::secs(s)));
                let names =
                    if metrics.is_empty() { String::new() } else { format!(" ({})", metrics.join(", ")) };
                format!("analyze{}{names}", time.unwrap_or_default())
            }
            Step::Match(rules) if rules.is_empty() => "remove the header rule".into(),
            Step::Match(rules) => labels(rules),
            Step::Mirror(None) => "stop the mirror".into(),
            Step::Mirror(Some(mirror)) if mirror.methods.is_empty() => format!("mirror {} %", mirror.percent),
            Step::Mirror(Some(mirror)) => {
                format!("mirror {} % of {}", mirror.percent, mirror.methods.join(", "))
            }
            Step::Cohort { matches, percent: 0 } => format!("cohort: {}", labels(matches)),
            Step::Cohort { matches, percent } if matches.is_empty() => {
                format!("cohort: {percent} % of the clients")
            }
            Step::Cohort { matches, percent } => {
                format!("cohort: {}, {percent} % of the other clients", labels(matches))
            }
        }
    }
}

fn labels(rules: &[Match]) -> String {
    rules.iter().map(Match::label).collect::<Vec<_>>().join(" or ")
}

/// A cookie that keeps clients with the slot that they met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sticky {
    pub cookie: String,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// Those who met the live slot stay there too.
    #[serde(default)]
    pub cohort: bool,
}

/// How long a pause lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    Seconds(u64),
    Person,
    /// For the other services of the train.
    Train,
}

/// A rollout as asked for, before the target is looked at.
#[derive(Debug, Clone)]
pub struct Spec {
    pub strategy: Strategy,
    pub replicas: u32,
    pub autoscaled: bool,
    /// The autoscalers' bounds, as msctl.yaml has them.
    pub scaling: Option<Scaler>,
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
    /// It takes over together with others.
    pub train: bool,
    /// Of all strategies but rolling; weight 100 is there.
    pub steps: Vec<Step>,
    pub affinity: Option<Sticky>,
    /// By what a candidate is judged.
    pub judging: Judging,
    pub migrations: Option<Migrations>,
    /// What is written down and not done, in words.
    pub idle: Vec<&'static str>,
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
        let judging = match strategy {
            Strategy::Rolling => Judging::default(),
            _ => Judging::resolve(service)?,
        };
        let steps = match strategy {
            Strategy::Rolling => Vec::new(),
            Strategy::Canary => canary(service, options)?,
            Strategy::BlueGreen => blue_green(service, &judging)?,
            Strategy::Ab => ab(service)?,
            Strategy::Mirror => mirror(service),
        };
        if strategy != Strategy::Canary && !options.steps.is_empty() {
            return Err(
                Failure::usage("steps", format!("--steps belongs to a canary, not to {strategy}")).into()
            );
        }
        let seconds = |d: crate::service::Duration| d.0.as_secs();
        let deadline = seconds(rollout.progress_deadline).max(1);
        Ok(Spec {
            strategy,
            replicas: service.autoscaling.as_ref().map_or(service.replicas, |a| a.min),
            autoscaled: service.autoscaling.is_some(),
            scaling: service.autoscaling.as_ref().map(|a| Scaler::free(a.min, a.max)),
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
            train: options.train.is_some(),
            steps,
            affinity: affinity(service, strategy),
            idle: if strategy == Strategy::Rolling { idle(service, options) } else { Vec::new() },
            migrations: service.migrations.clone(),
            judging,
        })
    }
}

fn idle(service: &Service, options: &Options) -> Vec<&'static str> {
    let metrics =
        "a rolling update is judged by readiness alone: rollout.analysis is asked in a canary or blue-green";
    let steps = "rollout.steps are a canary's: rollout.strategy is rolling, and none of them is taken";
    let chosen = options.strategy.is_some();
    [
        (!service.rollout.analysis.metrics.is_empty()).then_some(metrics),
        (!service.rollout.steps.is_empty() && !chosen).then_some(steps),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn canary(service: &Service, options: &Options) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    if !options.steps.is_empty() {
        steps.extend(options.steps.iter().map(|w| Step::Weight(*w)));
    } else if service.rollout.steps.is_empty() {
        steps.extend([10, 50].map(Step::Weight));
    } else {
        for spec in &service.rollout.steps {
            steps.push(step(service, spec)?);
        }
    }
    if !matches!(steps.iter().rev().find(|s| matches!(s, Step::Weight(_))), Some(Step::Weight(100))) {
        steps.push(Step::Weight(100));
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

fn step(service: &Service, spec: &StepSpec) -> anyhow::Result<Step> {
    if let Some(time) = spec.experiment {
        return Ok(Step::Experiment { seconds: time.0.as_secs().max(1), metrics: spec.metrics.clone() });
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
        let rule = rule(header, false)?.map(|h| Match { headers: vec![h], ..Match::default() });
        return Ok(Step::Match(rule.into_iter().collect()));
    }
    if let Some(matches) = &spec.matches {
        return Ok(Step::Match(matches.iter().map(matching).collect::<anyhow::Result<_>>()?));
    }
    let percent = spec.mirror.unwrap_or(0);
    let methods = spec.methods.as_ref().unwrap_or(&service.rollout.mirror.methods);
    Ok(Step::Mirror((percent > 0).then(|| Mirror { percent, methods: named(methods) })))
}

/// All methods are none in particular.
fn named(methods: &[String]) -> Vec<String> {
    if methods.iter().any(|m| m == "*") {
        return Vec::new();
    }
    methods.iter().map(|m| m.to_ascii_uppercase()).collect()
}

/// All conditions of one entry.
fn matching(spec: &MatchSpec) -> anyhow::Result<Match> {
    let mut headers = Vec::new();
    for (header, cookie) in [(&spec.header, false), (&spec.cookie, true)] {
        if let Some(header) = header {
            headers.extend(rule(header, cookie)?);
        }
    }
    let path = match &spec.path {
        None => None,
        Some(path) => Some(value("path", [&path.exact, &path.prefix, &path.regex])?),
    };
    let found = Match { headers, method: spec.method.as_ref().map(|m| m.to_ascii_uppercase()), path };
    if found == Match::default() {
        return Err(
            Failure::usage("match", "a match names nothing: give header, cookie, method or path").into()
        );
    }
    Ok(found)
}

fn ab(service: &Service) -> anyhow::Result<Vec<Step>> {
    let spec = service.rollout.ab.clone().unwrap_or_default();
    let matches = spec.matches.iter().map(matching).collect::<anyhow::Result<Vec<_>>>()?;
    if matches.is_empty() && spec.percent == 0 {
        return Err(Failure::usage("ab", "rollout.ab names nobody who would meet the candidate")
            .hint("give `match` (header, cookie, method, path), or `percent` of the clients")
            .into());
    }
    let cohort = Step::Cohort { matches, percent: spec.percent };
    Ok(vec![cohort, decided(service, spec.until), Step::Weight(100)])
}

fn mirror(service: &Service) -> Vec<Step> {
    let MirrorSpec { percent, methods, until } = &service.rollout.mirror;
    let copies = Step::Mirror(Some(Mirror { percent: *percent, methods: named(methods) }));
    vec![copies, decided(service, *until), Step::Weight(100)]
}

/// What ends a test: metrics that are judged until then, the time alone, or a person.
fn decided(service: &Service, until: Option<Duration>) -> Step {
    match until.map(|u| u.0.as_secs().max(1)) {
        None => Step::Pause(Wait::Person),
        Some(seconds) if service.rollout.analysis.metrics.is_empty() => Step::Pause(Wait::Seconds(seconds)),
        Some(seconds) => Step::Analyze { seconds: Some(seconds), metrics: Vec::new() },
    }
}

/// A percentage of an A/B test is of clients, so that one is needed for it.
fn affinity(service: &Service, strategy: Strategy) -> Option<Sticky> {
    let asked = service.rollout.affinity.as_ref().map(|a| Sticky {
        cookie: a.cookie.clone(),
        max_age: a.max_age.map(|d| d.0.as_secs()),
        cohort: strategy == Strategy::Ab,
    });
    match strategy {
        Strategy::Canary => asked,
        Strategy::Ab if service.rollout.ab.as_ref().is_some_and(|ab| ab.percent > 0) => {
            let cookie = format!("{}-cohort", service.service);
            asked.or(Some(Sticky { cookie, max_age: None, cohort: true }))
        }
        Strategy::Ab | Strategy::Rolling | Strategy::BlueGreen | Strategy::Mirror => None,
    }
}

/// A header rule; None when it names nothing.
fn rule(spec: &HeaderSpec, cookie: bool) -> anyhow::Result<Option<HeaderMatch>> {
    let Some(name) = spec.name.clone() else { return Ok(None) };
    let what = format!("{} {name}", if cookie { "cookie" } else { "header" });
    let value = value(&what, [&spec.exact, &spec.prefix, &spec.regex])?;
    Ok(Some(HeaderMatch { name, cookie, value }))
}

fn value(what: &str, [exact, prefix, regex]: [&Option<String>; 3]) -> anyhow::Result<MatchValue> {
    let values = [
        exact.clone().map(MatchValue::Exact),
        prefix.clone().map(MatchValue::Prefix),
        regex.clone().map(MatchValue::Regex),
    ];
    let mut values = values.into_iter().flatten();
    let found = match (values.next(), values.next()) {
        (Some(value), None) => value,
        _ => {
            return Err(
                Failure::usage("match", format!("{what}: give one of exact, prefix and regex")).into()
            );
        }
    };
    match &found {
        MatchValue::Regex(text) if regex::Regex::new(text).is_err() => {
            Err(Failure::usage("match", format!("{what}: {text:?} is no regular expression")).into())
        }
        _ => Ok(found),
    }
}

fn blue_green(service: &Service, judging: &Judging) -> anyhow::Result<Vec<Step>> {
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
    // Where no side is named, what needs no user is asked before the switch, and the rest after it.
    let (pre, post) = match spec.pre.is_empty() && spec.post.is_empty() {
        true => judging.by_need(),
        false => (spec.pre.clone(), spec.post.clone()),
    };
    let analyze = |metrics: Vec<String>| Step::Analyze { seconds: None, metrics };
    if !pre.is_empty() {
        steps.push(analyze(pre));
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
    if !post.is_empty() {
        steps.push(analyze(post));
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
    fn metrics_on_no_side_of_a_switch_are_asked_where_they_can_be() {
        let metrics = "analysis: {metrics: [{name: errors, builtin: error-rate}, {name: e2e, job: {image: e2e}}, \
                       {name: smoke, smoke: {path: /}}, {name: gate, web: {url: 'http://gate'}}]}";
        let asked = |sides: &str| {
            let text = format!("{{strategy: blue-green, blueGreen: {{{sides}}}, {metrics}}}");
            let spec = Spec::resolve(&service(&text), &Options::default()).unwrap();
            let steps = spec.steps.iter().map(|step| match step {
                Step::Analyze { metrics, .. } => metrics.join(" "),
                Step::Weight(_) => "|".into(),
                _ => String::new(),
            });
            steps.filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(asked(""), "e2e gate | errors");
        assert_eq!(asked("post: [e2e]"), "| e2e");
        assert_eq!(asked("pre: [gate]"), "gate |");
    }

    #[test]
    fn a_rolling_update_takes_no_step_and_asks_no_metric_and_says_so() {
        let metrics = "analysis: {metrics: [{name: errors, builtin: error-rate}]}";
        let steps = "steps: [{weight: 10}]";
        let idle = |text: &str, strategy| {
            let options = Options { strategy, ..Options::default() };
            Spec::resolve(&service(text), &options).unwrap().idle.len()
        };
        assert_eq!(idle(&format!("{{{metrics}, {steps}}}"), None), 2);
        assert_eq!(idle(&format!("{{{steps}}}"), Some(Strategy::Rolling)), 0, "asked for");
        assert_eq!(idle(&format!("{{strategy: canary, {metrics}, {steps}}}"), None), 0);
        assert_eq!(idle("{}", None), 0);
    }
}
