//! What the types cannot say: names, ports, steps that make sense together.

use std::path::Path;

use super::{HeaderSpec, MatchSpec, Migrations, Rollout, Service, StepSpec};
use crate::error::Failure;

/// A DNS label of at most 50 characters: `-blue` and the pods' suffixes must fit in 63.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        return Err("a name is needed".into());
    }
    if name.chars().count() > 50 {
        return Err(format!("the name has {} characters; 50 is the most", name.chars().count()));
    }
    if !name.chars().all(fits) || name.starts_with('-') || name.ends_with('-') {
        return Err(format!(
            "{name:?} is not a DNS label: small letters, digits and inner hyphens, such as `orders`"
        ));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{name:?} begins with a digit; a Service's name may not"));
    }
    Ok(())
}

/// Checks a parsed msctl.yaml; the first thing wrong is the error, with exit code 2.
pub fn validate(service: &Service, file: &Path) -> anyhow::Result<()> {
    check(service).map_err(|(key, why)| {
        Failure::usage("invalid-service", format!("{}: {key}: {why}", file.display()))
            .object(file.display().to_string())
            .into()
    })
}

fn check(service: &Service) -> Result<(), (String, String)> {
    let wrong = |key: &str, why: String| Err((key.to_owned(), why));
    if service.workspace.is_some() {
        return Ok(());
    }
    check_name(&service.service).map_err(|why| ("service".to_owned(), why))?;
    if service.port == 0 {
        return wrong("port", "0 is no port; use 1 to 65535".into());
    }
    for (key, path) in [("health.live", &service.health.live), ("health.ready", &service.health.ready)] {
        if !path.starts_with('/') {
            return wrong(key, format!("{path:?} must begin with a slash"));
        }
    }
    if let Some(scaling) = &service.autoscaling
        && (scaling.min == 0 || scaling.max < scaling.min)
    {
        return wrong("autoscaling", format!("min {} and max {} do not fit", scaling.min, scaling.max));
    }
    for (index, step) in service.rollout.steps.iter().enumerate() {
        check_step(step).map_err(|why| (format!("rollout.steps[{index}]"), why))?;
    }
    service.migrations.iter().try_for_each(check_migrations)?;
    check_traffic(&service.rollout)?;
    super::metric::check(&service.rollout)
}

/// A migration's command is kept in the rollout's state, whose size is bounded.
const LONGEST_COMMAND: usize = 1024;

fn check_migrations(migrations: &Migrations) -> Result<(), (String, String)> {
    for (phase, command) in [("expand", &migrations.expand), ("contract", &migrations.contract)] {
        let wrong = |why: String| Err((format!("migrations.{phase}"), why));
        if command.first().is_some_and(|program| program.trim().is_empty()) {
            return wrong("its first word is empty; it names the program".into());
        }
        let length: usize = command.iter().map(|word| word.len() + 3).sum();
        if length > LONGEST_COMMAND {
            return wrong(format!("it has {length} bytes; put what it does into a script of the image"));
        }
    }
    if migrations.expand.is_empty() && migrations.contract.is_empty() {
        return Err(("migrations".into(), "it has neither `expand` nor `contract`".into()));
    }
    match migrations.timeout.0.as_secs() {
        0 => Err(("migrations.timeout".into(), "a second is the least".into())),
        _ => Ok(()),
    }
}

fn check_step(step: &StepSpec) -> Result<(), String> {
    let set = step.actions();
    match set.as_slice() {
        [_] => {}
        [] => {
            return Err("names no action; one of weight, scale, pause, analyze, header, match, mirror".into());
        }
        several => return Err(format!("names {}; a step has one action", several.join(" and "))),
    }
    if step.weight.is_some_and(|w| w > 100) || step.mirror.is_some_and(|m| m > 100) {
        return Err("a weight is a percentage from 0 to 100".into());
    }
    if step.methods.is_some() && step.mirror.is_none() {
        return Err("methods belong to mirror".into());
    }
    check_methods(step.methods.as_deref().unwrap_or_default())?;
    check_header(step.header.as_ref(), false)?;
    step.matches.iter().flatten().try_for_each(check_match)?;
    if !step.metrics.is_empty() && step.analyze.is_none() && step.experiment.is_none() {
        return Err("metrics belong to analyze or experiment".into());
    }
    Ok(())
}

/// Who is sent, copied or kept where.
fn check_traffic(rollout: &Rollout) -> Result<(), (String, String)> {
    let at = |key: String| move |why: String| (key, why);
    if let Some(affinity) = &rollout.affinity {
        check_token("cookie", &affinity.cookie).map_err(at("rollout.affinity".into()))?;
    }
    if let Some(ab) = &rollout.ab {
        for (index, one) in ab.matches.iter().enumerate() {
            check_match(one).map_err(at(format!("rollout.ab.match[{index}]")))?;
        }
        if ab.percent > 99 {
            return Err(("rollout.ab.percent".into(), "a cohort is 0 to 99 percent of the clients".into()));
        }
    }
    check_methods(&rollout.mirror.methods).map_err(at("rollout.mirror.methods".into()))?;
    match rollout.mirror.percent {
        1..=100 => Ok(()),
        _ => Err(("rollout.mirror.percent".into(), "copies are 1 to 100 percent of the requests".into())),
    }
}

fn check_match(one: &MatchSpec) -> Result<(), String> {
    check_header(one.header.as_ref(), false)?;
    check_header(one.cookie.as_ref(), true)?;
    one.method.iter().try_for_each(|m| check_token("method", m))?;
    let paths = one.path.iter().flat_map(|p| [&p.exact, &p.prefix]).flatten();
    match paths.into_iter().find(|p| !p.starts_with('/')) {
        Some(path) => Err(format!("path {path:?} must begin with a slash")),
        None => Ok(()),
    }
}

fn check_header(header: Option<&HeaderSpec>, cookie: bool) -> Result<(), String> {
    let Some(header) = header else { return Ok(()) };
    let what = if cookie { "cookie" } else { "header" };
    match &header.name {
        Some(name) => check_token(what, name),
        None if *header == HeaderSpec::default() && !cookie => Ok(()),
        None => Err(format!("{what}: it has no name")),
    }
}

fn check_methods(methods: &[String]) -> Result<(), String> {
    methods.iter().try_for_each(|m| check_token("method", m))
}

/// What HTTP calls a token: names of headers, cookies and methods are (RFC 9110, section 5.6.2).
fn check_token(what: &str, text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match !text.is_empty() && text.chars().all(fits) {
        true => Ok(()),
        false => Err(format!("{what} {text:?} is no HTTP token: letters, digits and hyphens")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["orders", "a", "shop-orders2"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "../x", "Orders", "größe", "-a", "a-", "1st", &"a".repeat(300)] {
            assert!(check_name(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
