//! A rehearsal: the rollout that msctl.yaml describes, on this machine, under requests of our own, once with the service
//! as it is (it must pass) and once for each fault (it must not). Shows what the gates see before users do.

mod exposition;
mod fault;
pub mod load;
pub mod relay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use hyper::HeaderMap;
use serde::Serialize;

use crate::context::Ctx;
use crate::deploy::secrets;
use crate::error::{self, Failure, Kind};
use crate::platform::local::places::{Places, private_folder};
use crate::platform::{Platform, Release};
use crate::rollout::analysis::Source;
use crate::rollout::{self, Obeyed, Options, Outcome, Verb};
use crate::service::{PauseSpec, PlatformKind, Service, Strategy};
use crate::settings::Target;
use exposition::{Counted, amended};
pub use fault::Fault;
use load::{Counts, Load};
use relay::Part;

/// What to rehearse, and with which users.
#[derive(Debug, Clone)]
pub struct Wishes {
    pub faults: Vec<Fault>,
    /// Requests a second.
    pub rate: u32,
    pub path: String,
    pub headers: HeaderMap,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    pub service: String,
    /// Whose rollout it was.
    pub environment: String,
    pub strategy: Strategy,
    /// Metrics that look elsewhere: they know nothing of a rehearsal.
    pub left_out: Vec<String>,
    pub acts: Vec<Act>,
}

/// One version's rollout.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// None: the service as it is.
    pub fault: Option<Fault>,
    pub ended: Ended,
    /// What is right passes, what is wrong does not.
    pub expected: bool,
    /// Why it was refused or held.
    pub reason: Option<String>,
    pub message: Option<String>,
    pub seconds: f64,
    /// Of users.
    pub requests: u64,
    /// Of these, answered by the new version.
    pub met: u64,
    /// Answered with 500 and above, or not at all.
    pub failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    Healthy,
    Refused,
    /// Waits for a person, because the metrics do not tell.
    Held,
}

impl Rehearsal {
    /// Every act ended as it should.
    pub fn convinces(&self) -> bool {
        self.acts.iter().all(|act| act.expected)
    }
}

/// The namespace of rehearsals on the local platform.
const APART: &str = "msctl-rehearsal";

/// Rehearses one service of the project; nothing of it is left running, whatever comes.
pub async fn rehearse(
    ctx: &Ctx,
    name: Option<&str>,
    wishes: &Wishes,
    options: &Options,
) -> anyhow::Result<Rehearsal> {
    let project = ctx.project()?;
    let member = project.member(name)?;
    let target = ctx.settings.target(Some(&member.service))?;
    let mut service = member.service.in_environment("local")?;
    service.rollout = member.service.in_environment(&target.environment)?.rollout;
    let left_out = alone(&mut service);
    let _lock = lock(ctx, &service.service)?;
    service.port = load::free_port().context("find a free port")?;
    let stage = Stage {
        ctx: ctx.unattended(),
        platform: open(ctx, &service).await?,
        release: Release {
            secrets: secrets::resolve(ctx, &member.folder, &service)?,
            folder: member.folder.clone(),
            image: None,
            service,
        },
        wishes,
        options,
    };
    for metric in &left_out {
        ctx.ui.warn(format!("the metric {metric} is left out: what it asks knows nothing of a rehearsal"));
    }
    // What a rehearsal that was killed left.
    stage.platform.delete().await?;
    let acts = stage.acts().await;
    let gone = stage.platform.delete().await;
    let strategy = options.strategy.unwrap_or(stage.release.service.rollout.strategy);
    let acts = acts?;
    gone.context("stop the rehearsed processes")?;
    Ok(Rehearsal {
        service: stage.release.service.service.clone(),
        environment: target.environment,
        strategy,
        left_out,
        acts,
    })
}

/// Takes away what reaches beyond this machine, or makes a rehearsal only longer; the metrics that are left out.
fn alone(service: &mut Service) -> Vec<String> {
    service.migrations = None;
    service.depends_on.clear();
    if let Some(scaling) = service.autoscaling.take() {
        service.replicas = scaling.min;
    }
    let rollout = &mut service.rollout;
    // Nobody goes back to a rehearsed version.
    rollout.scale_down_delay = crate::service::Duration::secs(1);
    rollout.abort_delay = crate::service::Duration::secs(1);
    let metrics = std::mem::take(&mut rollout.analysis.metrics);
    let (kept, elsewhere): (Vec<_>, Vec<_>) =
        metrics.into_iter().partition(|m| m.builtin.is_some() || m.smoke.is_some());
    rollout.analysis.metrics = kept;
    let elsewhere: Vec<String> = elsewhere.into_iter().map(|m| m.name).collect();
    let here = |name: &String| !elsewhere.contains(name);
    rollout.blue_green.pre.retain(here);
    rollout.blue_green.post.retain(here);
    for step in &mut rollout.steps {
        // An experiment's fresh pods are a cluster's: here the candidate itself is judged.
        step.analyze = step.analyze.or(step.experiment.take());
        let named = !step.metrics.is_empty();
        step.metrics.retain(here);
        // No names would be all metrics, and no metrics no time.
        if step.metrics.is_empty() && (named || rollout.analysis.metrics.is_empty()) {
            step.pause = step.pause.or(step.analyze.take().map(PauseSpec::For));
        }
    }
    elsewhere
}

async fn open(ctx: &Ctx, service: &Service) -> anyhow::Result<Arc<dyn Platform>> {
    let target = Target {
        environment: "local".into(),
        platform: PlatformKind::Local,
        context: None,
        namespace: Some(APART.into()),
        protected: false,
    };
    ctx.platform(service, &target).await
}

/// One rehearsal of a service at a time.
fn lock(ctx: &Ctx, service: &str) -> anyhow::Result<std::fs::File> {
    let folder = Places::of(&ctx.settings)?.state;
    private_folder(&folder)?;
    let path = folder.join(format!("rehearsal-{service}.lock"));
    let file = std::fs::File::create(&path).with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Failure::new(Kind::Held, "held", format!("{service} is being rehearsed already"))
                .hint("wait for the other rehearsal, or end it with Ctrl-C")
                .into())
        }
        Err(std::fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("lock {}", path.display())),
    }
}

struct Stage<'a> {
    ctx: Ctx,
    platform: Arc<dyn Platform>,
    release: Release,
    wishes: &'a Wishes,
    options: &'a Options,
}

impl Stage<'_> {
    async fn acts(&self) -> anyhow::Result<Vec<Act>> {
        let service = &self.release.service;
        let faults = || std::iter::once(None).chain(self.wishes.faults.iter().copied().map(Some));
        let count = faults().count();
        let users = format!("{} requests a second to {}", self.wishes.rate, self.wishes.path);
        self.say(format!("{} as it is, as the live version; then {users}", service.service));
        let mut live = self.deploy("live", None).await.map_err(|e| not_at_all(e, &service.service))?.revision;
        let mut acts = Vec::new();
        for (at, fault) in faults().enumerate() {
            let what = fault.map_or("the same once more".to_owned(), |fault| format!("with {fault}"));
            self.say(format!("{} of {count}: {what}", at + 1));
            let act = self.act(at, fault, &mut live).await?;
            acts.push(act);
        }
        Ok(acts)
    }

    fn say(&self, title: String) {
        self.ctx.ui.note(format!("\n{}", self.ctx.ui.paint().bold(title)));
    }

    async fn act(&self, at: usize, fault: Option<Fault>, live: &mut u32) -> anyhow::Result<Act> {
        let url = format!("http://127.0.0.1:{}{}", self.release.service.port, self.wishes.path);
        let load = Load::start(&url, self.wishes.rate, &self.wishes.headers)?;
        let began = Instant::now();
        let played = self.play(&format!("act {at}"), fault).await;
        let seconds = began.elapsed().as_secs_f64();
        let counts = load.stop().await;
        let met = met(&counts, *live);
        let (ended, why) = match played? {
            Played::Through(revision) if fault.is_none() => {
                *live = revision;
                (Ended::Healthy, None)
            }
            Played::Through(_) => {
                self.go_back(*live).await?;
                (Ended::Healthy, None)
            }
            Played::Refused { reason, message } => (Ended::Refused, Some((reason, message))),
            Played::Held { reason, message } => (Ended::Held, Some((reason, message))),
        };
        let (reason, message) = why.unzip();
        Ok(Act {
            fault,
            ended,
            expected: expected(fault, ended, reason.as_deref()),
            reason,
            message,
            seconds,
            requests: counts.answered + counts.failed,
            met,
            failed: counts.failed,
        })
    }

    /// One rollout to its end; a pause that waits for a person is promoted, as a person would who trusts the gates.
    async fn play(&self, act: &str, fault: Option<Fault>) -> anyhow::Result<Played> {
        let name = self.release.service.service.as_str();
        let mut outcome = self.deploy(act, fault).await;
        loop {
            let done = match outcome {
                Ok(done) => done,
                Err(error) if error::kind(&error) == Kind::Refused => return Ok(self.refused(error).await),
                Err(error) => return Err(error),
            };
            match done.ended {
                rollout::Ended::Paused => {}
                rollout::Ended::Aborted => {
                    return Ok(Played::Refused { reason: "aborted".into(), message: "taken back".into() });
                }
                _ => return Ok(Played::Through(done.revision)),
            }
            let platform = self.platform.as_ref();
            let waits = done.status.map(|s| (s.reason, s.message)).unwrap_or_default();
            if waits.0 != "awaits-promotion" {
                rollout::abort(&self.ctx, platform, &self.release.service).await?;
                return Ok(Played::Held { reason: waits.0, message: waits.1 });
            }
            outcome = match rollout::verb(&self.ctx, platform, name, Verb::Promote { full: false }).await {
                Ok(Obeyed::Driven(outcome)) => Ok(outcome),
                Ok(Obeyed::Said(..)) => rollout::attach(&self.ctx, platform, name, false).await,
                Err(error) => Err(error),
            };
        }
    }

    async fn deploy(&self, act: &str, fault: Option<Fault>) -> anyhow::Result<Outcome> {
        let service = &self.release.service;
        let mut release = self.release.clone();
        if let Some(run) = &mut release.service.run {
            let part = Part {
                act: act.to_owned(),
                fault,
                live: service.health.live.clone(),
                ready: service.health.ready.clone(),
                source: Source::of(service),
            };
            let program = std::env::current_exe().context("find this program's own file")?;
            let words = [program.display().to_string(), "relay".into(), serde_json::to_string(&part)?];
            let words: Vec<String> = words.iter().chain([&run.command]).map(|word| quoted(word)).collect();
            run.command = format!("exec {}", words.join(" "));
        }
        let template = self.platform.template(&self.ctx, &release).await?;
        rollout::deploy(&self.ctx, self.platform.clone(), &release, &template, self.options).await
    }

    /// A version that goes wrong was not seen: the next one is not to be compared with it.
    async fn go_back(&self, live: u32) -> anyhow::Result<()> {
        self.say("Nothing held it: back to the service as it is".into());
        let platform = self.platform.as_ref();
        match rollout::undo(&self.ctx, platform, &self.release.service, Some(live)).await? {
            Obeyed::Driven(_) => Ok(()),
            Obeyed::Said(message, _) => Err(Failure::failed("not-undone", message).into()),
        }
    }

    /// What the rollout's own state says of it; the error's words are for who deploys.
    async fn refused(&self, error: anyhow::Error) -> Played {
        let seen = rollout::look(self.platform.as_ref(), &self.release.service.service).await;
        let told = error::report(&error);
        match seen {
            Ok((_, _, status)) => Played::Refused { reason: told.reason, message: status.message },
            Err(_) => Played::Refused { reason: told.reason, message: told.message },
        }
    }
}

enum Played {
    Through(u32),
    Refused { reason: String, message: String },
    Held { reason: String, message: String },
}

/// What is right passes; what is wrong is held, or refused for what is wrong with it.
fn expected(fault: Option<Fault>, ended: Ended, reason: Option<&str>) -> bool {
    match (fault, ended) {
        (None, ended) => ended == Ended::Healthy,
        (Some(_), Ended::Healthy) => false,
        (Some(_), Ended::Held) => true,
        (Some(fault), Ended::Refused) => reason.is_some_and(|reason| fault.seen_by(reason)),
    }
}

/// Answers of other revisions than `live`.
fn met(counts: &Counts, live: u32) -> u64 {
    let others = |by: &BTreeMap<String, u64>| -> u64 {
        by.iter().filter(|(revision, _)| **revision != live.to_string()).map(|(_, n)| n).sum()
    };
    others(&counts.revisions) + others(&counts.errors)
}

/// The service does not even start as it is: no gate's fault.
fn not_at_all(error: anyhow::Error, service: &str) -> anyhow::Error {
    match error::kind(&error) {
        Kind::Failed | Kind::Refused => {
            Failure::failed("not-rehearsed", format!("{service} does not start as it is"))
                .source(error)
                .hint("rehearse what `msctl deploy -e local` can run")
                .into()
        }
        _ => error,
    }
}

/// One word of a shell's command line.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn service(rollout: &str) -> Service {
        let text = format!("service: orders\nrollout: {rollout}\n");
        crate::service::parse_yaml(&text, Path::new("msctl.yaml")).unwrap()
    }

    #[test]
    fn metrics_that_look_elsewhere_are_left_out_wherever_they_are_named() {
        let mut service = service(
            "{strategy: canary, scaleDownDelay: 1h, steps: [{weight: 10}, {analyze: 30s, metrics: [errors, elsewhere]}, \
             {analyze: 20s, metrics: [elsewhere]}, {analyze: 10s}], blueGreen: {post: [elsewhere]}, analysis: {metrics: [\
             {name: errors, builtin: error-rate, max: 1%}, {name: elsewhere, web: {url: 'http://x'}, equals: up}]}}",
        );
        assert_eq!(alone(&mut service), ["elsewhere"]);
        let rollout = &service.rollout;
        assert_eq!(rollout.analysis.metrics.len(), 1);
        let steps: Vec<_> = rollout
            .steps
            .iter()
            .map(|s| (s.analyze.map(|a| a.0.as_secs()), s.metrics.clone(), s.pause))
            .collect();
        assert_eq!(steps[1], (Some(30), vec!["errors".to_owned()], None));
        assert_eq!(steps[2], (None, vec![], Some(PauseSpec::For(crate::service::Duration::secs(20)))));
        assert_eq!(steps[3], (Some(10), vec![], None));
        assert!(rollout.blue_green.post.is_empty() && rollout.scale_down_delay.0.as_secs() == 1);
    }

    /// What only a cluster can do is done as this machine can.
    #[test]
    fn experiments_judge_the_candidate_and_what_nothing_judges_takes_its_time() {
        let steps = "strategy: canary, steps: [{weight: 10}, {experiment: 30s}, {analyze: 20s}, {pause: {}}]";
        let rehearsed = |metrics: &str| -> Vec<_> {
            let mut service = service(&format!("{{{steps}, analysis: {{metrics: [{metrics}]}}}}"));
            alone(&mut service);
            let told =
                |s: &crate::service::StepSpec| (s.experiment, s.analyze.map(|a| a.0.as_secs()), s.pause);
            service.rollout.steps.iter().skip(1).map(told).collect()
        };
        let person = (None, None, Some(PauseSpec::Person {}));
        let judged = rehearsed("{name: errors, builtin: error-rate, max: 1%}");
        assert_eq!(judged, [(None, Some(30), None), (None, Some(20), None), person]);
        let pause = |seconds| (None, None, Some(PauseSpec::For(crate::service::Duration::secs(seconds))));
        let unjudged = rehearsed("{name: elsewhere, web: {url: 'http://x'}, equals: up}");
        assert_eq!(unjudged, [pause(30), pause(20), person]);
    }

    #[test]
    fn a_word_stays_one_for_the_shell() {
        for word in ["plain", "it's", "a \"b\" $c `d`", "{\"act\":\"x\"}", ""] {
            let line = format!("printf %s {}", quoted(word));
            let out = std::process::Command::new("/bin/sh").arg("-c").arg(line).output().unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), word);
        }
    }
}
