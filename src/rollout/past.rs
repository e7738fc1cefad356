//! The operations behind `rollout judge` and `rollout report`: past deploys from what was kept of them.

use std::path::Path;

use super::analysis::{Judging, Metric};
use super::deploy;
use super::state::State;
use super::story::{Judged, Story, adjust, judge};
use super::{host, look, tell};
use crate::error::Failure;
use crate::platform::Platform;
use crate::service::Service;

/// Past deploys under other thresholds.
pub struct Judgement {
    /// The thresholds.
    pub metrics: Vec<Metric>,
    /// Newest first.
    pub deploys: Vec<Judged>,
    /// Deploys of the history of which no measurements are kept.
    pub unmeasured: Vec<u32>,
}

/// Replays what was kept against msctl.yaml as it is now, changed by `metrics`.
pub async fn judged(
    platform: &dyn Platform,
    service: &Service,
    number: Option<u32>,
    metrics: &[String],
) -> anyhow::Result<Judgement> {
    let (state, stories) = read(platform, &service.service, number).await?;
    let measured: Vec<&Story> = stories.iter().filter(|s| !s.measurements.is_empty()).collect();
    let kept: Vec<Metric> = measured.iter().rev().flat_map(|s| s.judging.metrics.clone()).collect();
    let mut judging = Judging::resolve(service)?;
    for text in metrics {
        adjust(&mut judging, text, &kept)?;
    }
    if measured.is_empty() {
        let about = number.map_or("past deploys".into(), |n| format!("deploy {n}"));
        return Err(Failure::failed(
            "nothing-kept",
            format!("no measurements of {about} of {} are kept", service.service),
        )
        .hint("deploys with rollout.analysis keep theirs; `msctl rollout history` lists the deploys")
        .into());
    }
    if judging.is_empty() {
        return Err(Failure::usage(
            "no-thresholds",
            "msctl.yaml has no metric in rollout.analysis to judge by",
        )
        .hint("name one: --metric NAME:max=VALUE")
        .into());
    }
    let unmeasured = state
        .deploys
        .iter()
        .map(|d| d.number)
        .filter(|n| number.is_none_or(|wanted| wanted == *n) && measured.iter().all(|s| s.deploy != *n));
    Ok(Judgement {
        unmeasured: unmeasured.collect(),
        deploys: measured.iter().rev().map(|s| judge(s, &judging)).collect(),
        metrics: judging.metrics,
    })
}

/// The story of deploy `number`, else of the last one; with its commits where `folder`'s repository knows them.
pub async fn story(
    platform: &dyn Platform,
    service: &str,
    folder: &Path,
    number: Option<u32>,
) -> anyhow::Result<Story> {
    let place = platform.place();
    let state = load(platform, service).await?;
    let known = || state.deploys.iter().map(|d| d.number.to_string()).collect::<Vec<_>>().join(", ");
    let Some(number) = number.or(state.deploys.last().map(|d| d.number)) else {
        return Err(look::not_deployed(service, &place));
    };
    let kept = tell::classify(platform.stories(Some(number)).await, &place)?;
    let kept = kept.last().and_then(|s| Story::parse(&s.body));
    let mut story = Story::known(kept, service, &place, &state, number)
        .ok_or_else(|| no_deploy(service, number, &known()))?;
    if story.commits.is_none() {
        let commit = |revision: u32| state.revision(revision).and_then(|r| r.commit.clone());
        if let (Some(from), Some(to)) = (story.from.and_then(commit), commit(story.revision)) {
            story.commits = host::commits(folder, &from, &to);
        }
    }
    Ok(story)
}

fn no_deploy(service: &str, number: u32, known: &str) -> anyhow::Error {
    Failure::failed("no-deploy", format!("{service} has no deploy {number} in its history"))
        .hint(format!("there are {known}; `msctl rollout history` lists them"))
        .into()
}

async fn load(platform: &dyn Platform, service: &str) -> anyhow::Result<State> {
    let state = deploy::load(platform, service).await?;
    state.ok_or_else(|| look::not_deployed(service, &platform.place()))
}

async fn read(
    platform: &dyn Platform,
    service: &str,
    number: Option<u32>,
) -> anyhow::Result<(State, Vec<Story>)> {
    let place = platform.place();
    let state = load(platform, service).await?;
    let kept = tell::classify(platform.stories(number).await, &place)?;
    let stories: Vec<Story> = kept
        .iter()
        .filter_map(|s| Story::parse(&s.body))
        .filter_map(|s| {
            let number = s.deploy;
            Story::known(Some(s), service, &place, &state, number)
        })
        .collect();
    if let Some(number) = number
        && stories.is_empty()
        && state.deploys.iter().all(|d| d.number != number)
    {
        let known = state.deploys.iter().map(|d| d.number.to_string()).collect::<Vec<_>>().join(", ");
        return Err(no_deploy(service, number, &known));
    }
    Ok((state, stories))
}
