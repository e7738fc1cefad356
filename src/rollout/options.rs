//! What a deploy may ask of the rollout, from its flags.

use serde::Serialize;

use crate::cli;
use crate::error::Failure;
use crate::service::{Duration, Strategy};

/// How far to go before returning. A state that is passed or cannot come ends by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    #[default]
    Healthy,
    /// The first pause.
    Paused,
    /// The candidate's pods of the first step are available.
    Available,
    /// Step N, counted from 1, is reached.
    Step(u32),
    /// The candidate gets at least so many percent.
    Weight(u8),
}

impl std::str::FromStr for Until {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Self, Failure> {
        let number = |value: &str| value.parse::<u32>().ok().filter(|n| *n > 0);
        let found = match text.split_once('=') {
            None => match text {
                "healthy" => Some(Until::Healthy),
                "paused" => Some(Until::Paused),
                "available" => Some(Until::Available),
                _ => None,
            },
            Some(("step", value)) => number(value).map(Until::Step),
            Some(("weight", value)) => {
                number(value).and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= 100).map(Until::Weight)
            }
            Some(_) => None,
        };
        found.ok_or_else(|| {
            Failure::usage("until", format!("--until {text:?} is not a state to wait for"))
                .hint("use healthy, paused, available, step=N or weight=N")
        })
    }
}

/// What the flags of `deploy` say of the rollout.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// None: msctl.yaml's.
    pub strategy: Option<Strategy>,
    /// Weights in percent that replace `rollout.steps`.
    pub steps: Vec<u8>,
    /// After every weight below 100.
    pub pause: Option<std::time::Duration>,
    pub until: Until,
    pub timeout: Option<std::time::Duration>,
    pub rollback_timeout: Option<std::time::Duration>,
    pub no_rollback: bool,
    /// Roll out although the live version is broken.
    pub proceed: bool,
    pub lock_wait: std::time::Duration,
    /// What git had checked out where the new version was built.
    pub commit: Option<String>,
    /// The train that the rollout is part of.
    pub train: Option<String>,
    /// A driver in the cluster that takes the rollout over.
    pub detach: Option<crate::platform::StandIn>,
    /// A protected environment, and nobody said that somebody stays: long rollouts are refused.
    pub guarded: bool,
}

impl Options {
    pub fn of(args: &cli::Deploy) -> anyhow::Result<Self> {
        let strategy = match &args.strategy {
            cli::StrategyFlags { rolling: true, .. } => Some(Strategy::Rolling),
            cli::StrategyFlags { canary: true, .. } => Some(Strategy::Canary),
            cli::StrategyFlags { blue_green: true, .. } => Some(Strategy::BlueGreen),
            cli::StrategyFlags { ab: true, .. } => Some(Strategy::Ab),
            cli::StrategyFlags { mirror: true, .. } => Some(Strategy::Mirror),
            _ => None,
        };
        if let Some(wrong) = args.steps.iter().find(|w| **w == 0 || **w > 100) {
            return Err(
                Failure::usage("steps", format!("--steps: {wrong} is not a weight from 1 to 100")).into()
            );
        }
        if let Some(pair) = args.steps.windows(2).find(|w| w[1] <= w[0]) {
            return Err(Failure::usage(
                "steps",
                format!("--steps: {} comes after {}; weights only grow", pair[1], pair[0]),
            )
            .into());
        }
        Ok(Options {
            strategy,
            steps: args.steps.clone(),
            pause: duration("pause", args.pause.as_deref())?,
            until: args.until.as_deref().map(str::parse).transpose()?.unwrap_or_default(),
            timeout: duration("timeout", args.timeout.as_deref())?,
            rollback_timeout: duration("rollback-timeout", args.rollback_timeout.as_deref())?,
            no_rollback: args.no_rollback,
            proceed: args.proceed,
            lock_wait: duration("lock-wait", args.lock_wait.as_deref())?.unwrap_or_default(),
            commit: None,
            train: None,
            detach: None,
            guarded: !args.attended && !args.handoff.detach,
        })
    }
}

impl Options {
    /// The time that `--FLAG` gives.
    pub fn time(flag: &'static str, text: Option<&str>) -> anyhow::Result<Option<std::time::Duration>> {
        duration(flag, text)
    }
}

fn duration(flag: &'static str, text: Option<&str>) -> anyhow::Result<Option<std::time::Duration>> {
    let Some(text) = text else { return Ok(None) };
    let parsed: Duration =
        text.parse().map_err(|why| Failure::usage("duration", format!("--{flag}: {why}")))?;
    Ok(Some(parsed.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_reads_every_form() {
        for (text, until) in [
            ("healthy", Until::Healthy),
            ("paused", Until::Paused),
            ("available", Until::Available),
            ("step=2", Until::Step(2)),
            ("weight=50", Until::Weight(50)),
        ] {
            assert_eq!(text.parse::<Until>().unwrap(), until);
        }
        for wrong in ["", "done", "step=0", "step", "weight=101", "weight=x", "pod=1"] {
            assert!(wrong.parse::<Until>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn steps_must_grow() {
        let args = |steps: &[u8]| cli::Deploy { steps: steps.to_vec(), ..Default::default() };
        assert!(Options::of(&args(&[10, 50])).is_ok());
        for wrong in [&[0][..], &[101], &[50, 10], &[10, 10]] {
            assert!(Options::of(&args(wrong)).is_err(), "{wrong:?}");
        }
    }
}
