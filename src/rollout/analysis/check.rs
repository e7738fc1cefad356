//! Before the first write: whether what the analysis will measure can be measured from here. A gate that turns out to
//! be blind in the middle of a rollout has judged nothing.

use super::remote::{self, Trouble};
use super::{Judging, Measure, Metric, Target, series};
use crate::error::Failure;
use crate::platform::{Error, Platform};
use crate::rollout::host::Host;

/// Asks for the right to scrape, scrapes the live slot once, and asks each Prometheus its query. Returns warnings.
pub async fn check(
    judging: &Judging,
    host: &dyn Host,
    platform: &dyn Platform,
    target: &Target,
) -> anyhow::Result<Vec<String>> {
    let scraped = judging.metrics.iter().find(|m| m.measure.scraped());
    let asked =
        scraped.or_else(|| judging.metrics.iter().find(|m| matches!(m.measure, Measure::Smoke { .. })));
    if let Some(metric) = asked
        && !platform.may_ask().await?
    {
        let place = platform.place();
        return Err(blind(
            metric,
            &format!("you may not ask pods there: get pods/proxy is refused ({place})"),
        )
        .hint("allow it: a Role with apiGroups [\"\"], resources [pods/proxy], verbs [get]")
        .into());
    }
    let job = judging.metrics.iter().find(|m| matches!(m.measure, Measure::Job { .. }));
    if let Some(metric) = job.filter(|_| !platform.has_jobs()) {
        let why = "a Job needs a cluster, and this is the local platform";
        return Err(Failure::usage("analysis", format!("{}.job: {}: {why}", metric.place, metric.name))
            .hint("judge by `smoke` or `web` here: `environments.local.rollout` may differ from the others'")
            .into());
    }
    let mut warnings = Vec::new();
    if let Some(metric) = scraped {
        warnings.extend(scrape(judging, metric, platform, target).await?);
    }
    for metric in &judging.metrics {
        outside(metric, host, target).await?;
    }
    Ok(warnings)
}

fn blind(metric: &Metric, why: &str) -> Failure {
    Failure::failed("analysis-blind", format!("metric {} cannot be measured: {why}", metric.name))
        .object(metric.place.clone())
        .hint(
            "or judge by `prometheus`, or hand the rollout over with `--detach`, which measures from inside",
        )
}

async fn scrape(
    judging: &Judging,
    metric: &Metric,
    platform: &dyn Platform,
    target: &Target,
) -> anyhow::Result<Option<String>> {
    let path = &judging.source.path;
    let answers = match platform.get(target.live, path).await {
        Ok(answers) => answers,
        Err(Error::Forbidden(why)) => return Err(blind(metric, &why).into()),
        Err(error) => return Err(blind(metric, &error.to_string()).into()),
    };
    // A live slot without a ready pod is told of elsewhere.
    if answers.is_empty() {
        return Ok(None);
    }
    let bad = answers.iter().map(|answer| match &answer.said {
        Err(why) => Err((true, format!("{}: {why}", answer.pod))),
        Ok((200, body)) => series::read(body, &judging.source)
            .map(|_| ())
            .map_err(|why| (false, format!("{}: {why}", answer.pod))),
        Ok((status, _)) => Err((false, format!("{}: GET {path} answered {status}", answer.pod))),
    });
    let bad: Vec<(bool, String)> = bad.filter_map(Result::err).collect();
    let Some((silent, why)) = bad.first().filter(|_| bad.len() == answers.len()) else { return Ok(None) };
    // A live version without metrics is no reason to refuse one that has them, unless they are compared.
    let compared = judging.metrics.iter().find(|m| m.measure.scraped() && m.compares());
    if !*silent && compared.is_none() {
        return Ok(Some(format!("the live slot cannot be scraped ({why}); only the candidate will be")));
    }
    let failure = blind(compared.unwrap_or(metric), why);
    Err(if *silent {
        failure.hint("a NetworkPolicy may keep the API server from the pods' port").into()
    } else {
        failure.hint("`metrics.path` says where the pods serve their metrics").into()
    })
}

async fn outside(metric: &Metric, host: &dyn Host, target: &Target) -> anyhow::Result<()> {
    let headers = match &metric.measure {
        Measure::Prometheus { headers, .. } | Measure::Web { headers, .. } => headers,
        _ => return Ok(()),
    };
    let wrong = |why: String| Failure::usage("analysis", format!("{}: {}: {why}", metric.place, metric.name));
    let sent = remote::headers(headers, &|name| host.variable(name)).map_err(wrong)?;
    let Measure::Prometheus { query, address, .. } = &metric.measure else { return Ok(()) };
    let Some(client) = host.client() else { return Ok(()) };
    let query = remote::fill(query, target, target.live);
    match remote::instant(&client, address, &query, sent).await {
        Ok(_) => Ok(()),
        Err(Trouble::Query(why)) => Err(wrong(why).hint("try it in Prometheus, with the slot's name in place of $slot").into()),
        Err(Trouble::Place(why)) => Err(Failure::failed(
            "analysis-blind",
            format!("metric {} cannot be measured: {why}", metric.name),
        )
        .object(metric.place.clone())
        .hint("`address` must answer from where msctl runs; with `--detach` that is inside the cluster, and `headers` carry its token")
        .into()),
    }
}
